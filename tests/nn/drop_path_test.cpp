#include "ocelli/nn/drop_path.h"

#include <gtest/gtest.h>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"

namespace ocelli {
namespace {

// x + 1 by a branch that gives 1, on ten images.
Tensor run(DropPath& drop) {
  return drop.add(Tensor::zeros({10, 2}), [](const Tensor& part) { return part + 1.0f; });
}

TEST(DropPath, AddsToAPartOfTheImagesWhatAllWouldGet) {
  const Tape tape;
  DropPath drop(0.3, Rng(1));
  ASSERT_EQ(DropPath::current(), &drop);
  const Tensor y = run(drop);
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
  DropPath first(0.5, Rng(4)), second(0.5, Rng(4));
  bool any_differs = false;
  for (int call = 0; call < 5; ++call) {
    const Tensor a = run(first), b = run(second);
    EXPECT_TRUE(std::ranges::equal(a.values<float>(), b.values<float>()));
    any_differs |= !std::ranges::equal(a.values<float>(), run(first).values<float>());
    run(second);
  }
  EXPECT_TRUE(any_differs);
}

TEST(DropPath, WorksOnlyWhereAModelLearns) {
  DropPath drop(0.3, Rng(1));
  EXPECT_EQ(DropPath::current(), nullptr);
  const Tape tape;
  {
    const NoTape pause;
    EXPECT_EQ(DropPath::current(), nullptr);
  }
  const DropPath none(0, Rng(1));
  EXPECT_EQ(DropPath::current(), nullptr);
  EXPECT_THROW(DropPath(1, Rng(1)), Error);
}

TEST(DropPath, KeepsOneImageAtLeast) {
  const Tape tape;
  DropPath drop(0.9, Rng(1));
  const Tensor y = drop.add(Tensor::zeros({1, 2}), [](const Tensor& x) { return x + 1.0f; });
  EXPECT_EQ(y.data<float>()[0], 1);
}

TEST(DropPath, GradientsComeFromWhatWasKept) {
  Tape tape;
  const Tensor x = Tensor::full({4, 1}, 1);
  tape.watch(x);
  DropPath drop(0.5, Rng(2));
  const Tensor y = drop.add(x, [](const Tensor& part) { return part * 3.0f; });
  const Gradients gradients = tape.backward(sum(sum(y, 0), 0));
  for (int i = 0; i < 4; ++i) {  // 1, and 2 * 3 where the branch was computed
    EXPECT_EQ(gradients(x).data<float>()[i], y.data<float>()[i]);
  }
}

}  // namespace
}  // namespace ocelli
