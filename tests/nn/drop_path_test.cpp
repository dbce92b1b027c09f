#include "ocelli/nn/drop_path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"

namespace ocelli {
namespace {

// x + 1 by a branch that gives 1, on ten images.
Tensor run() {
  return DropPath::add(Tensor::zeros({10, 2}), DropPath::draw(10)[0],
                       [](const Tensor& part) { return part + 1.0f; });
}

bool at_work() {
  return DropPath::draw(10)[0].defined();
}

TEST(DropPath, AddsToAPartOfTheImagesWhatAllWouldGet) {
  const Tape tape;
  DropPath drop(0.3, Rng(1));
  const Tensor y = run();
  int64_t kept = 0;
  for (int i = 0; i < 10; ++i) {
    const float value = y.data<float>()[2 * i];
    EXPECT_EQ(value, y.data<float>()[2 * i + 1]);
    if (value == 0) continue;
    EXPECT_FLOAT_EQ(value, 10.0f / 7);
    ++kept;
  }
  EXPECT_EQ(kept, 7);
  EXPECT_TRUE(drop.was_used());
}

TEST(DropPath, IsAFunctionOfTheGenerator) {
  const Tape tape;
  std::vector<float> values[2];
  for (std::vector<float>& all : values) {
    const DropPath drop(0.5, Rng(4));
    for (int call = 0; call < 5; ++call)
      std::ranges::copy(run().values<float>(), std::back_inserter(all));
  }
  EXPECT_EQ(values[0], values[1]);
  EXPECT_FALSE(std::equal(&values[0][0], &values[0][20], &values[0][20]));
}

TEST(DropPath, WorksOnlyWhereAModelLearns) {
  const DropPath drop(0.3, Rng(1));
  EXPECT_FALSE(at_work());
  const Tape tape;
  EXPECT_TRUE(at_work());
  {
    const NoTape pause;
    EXPECT_FALSE(at_work());
  }
  const DropPath none(0, Rng(1));
  EXPECT_FALSE(at_work());
  EXPECT_THROW(DropPath(1, Rng(1)), Error);
}

TEST(DropPath, KeepsOneImageAtLeast) {
  const Tape tape;
  const DropPath drop(0.9, Rng(1));
  const Tensor y = DropPath::add(Tensor::zeros({1, 2}), DropPath::draw(1)[0],
                                 [](const Tensor& x) { return x + 1.0f; });
  EXPECT_EQ(y.data<float>()[0], 1);
}

TEST(DropPath, GradientsComeFromWhatWasKept) {
  Tape tape;
  const Tensor x = Tensor::full({4, 1}, 1);
  tape.watch(x);
  const DropPath drop(0.5, Rng(2));
  const Tensor y =
      DropPath::add(x, DropPath::draw(4)[0], [](const Tensor& part) { return part * 3.0f; });
  const Gradients gradients = tape.backward(sum(sum(y, 0), 0));
  for (int i = 0; i < 4; ++i) {  // 1, and 2 * 3 where the branch was computed
    EXPECT_EQ(gradients(x).data<float>()[i], y.data<float>()[i]);
  }
}

}  // namespace
}  // namespace ocelli
