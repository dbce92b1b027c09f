// The gradient of every op of the table: against finite differences, and on each instruction set
// against backend/reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>

#include "ocelli/backend/backend.h"
#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/tensor/allocator.h"
#include "ocelli/tensor/convert.h"
#include "tests/ops/op_table.h"

namespace ocelli::test {
namespace {

// Where all but a few of an op's inputs stand when n is 7, say.
constexpr int64_t kSizes[] = {0, 1, 2, 7, 12};

double dot(const Tensor& a, const Tensor& b) {
  const Tensor p = contiguous(a), q = contiguous(b);
  double sum = 0;
  for (int64_t i = 0; i < p.numel(); ++i) sum += double{p.data<float>()[i]} * q.data<float>()[i];
  return sum;
}

// Weights of the outputs, to make one number of them.
Tensor weights_for(const Tensor& y) {
  Rng rng(99);
  const Tensor w = Tensor::empty(y.shape());
  for (float& x : w.values<float>()) x = 2 * rng.uniform() - 1;
  return w;
}

struct Slope {
  std::vector<Tensor> gradients;  // of the inputs, in order; undefined where none flowed
  double along = 0;               // sum of gradient times direction
  double scale = 0;               // sum of the absolute products
};

// Nothing for a size that the op refuses.
std::optional<Slope> slope(const OpCase& op, Inputs in, int64_t n) {
  Tape tape;
  in.differentiate(tape);
  Tensor y;
  try {
    y = op.call(in, n);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << op.name << ": " << error.what();
    return {};
  }
  const Gradients gradients = tape.backward(y, weights_for(y));
  Slope result;
  for (const Inputs::Made& made : in.made()) {
    const Tensor g = gradients(made.value);
    result.gradients.push_back(g);
    if (!g.defined()) continue;
    result.along += dot(g, made.direction);
    result.scale += std::sqrt(dot(g, g) * dot(made.direction, made.direction));
  }
  return result;
}

double value(const OpCase& op, Inputs in, int64_t n, float step) {
  in.move(step);
  const Tensor y = op.call(in, n);
  return dot(y, weights_for(y));
}

TEST(Gradient, EqualsFiniteDifferencesForEveryOp) {
  const backend::UseBackend scope(backend::reference());
  for (const OpCase& op : op_table()) {
    if (!op.has_gradient) continue;
    int flowed = 0;
    for (const int64_t n : kSizes) {
      for (uint64_t seed = 0; seed < 4; ++seed) {
        const Inputs in(seed * 77 + static_cast<uint64_t>(n));
        const auto found = slope(op, in, n);
        if (!found || found->scale == 0) continue;
        const float h = 1e-2f;
        const double wide = (value(op, in, n, h) - value(op, in, n, -h)) / (2 * h);
        const double close = (value(op, in, n, h / 2) - value(op, in, n, -h / 2)) / h;
        const double tolerance = 5e-3 * found->scale + 3e-4;
        // A corner, as relu's, lies within the step.
        if (std::abs(wide - close) > tolerance / 4) continue;
        ++flowed;
        // Richardson: the error of third order cancels. What is left is float's rounding.
        EXPECT_NEAR(found->along, (4 * close - wide) / 3, tolerance)
            << op.name << " n=" << n << " seed=" << seed;
      }
    }
    EXPECT_GT(flowed, 4) << op.name;
  }
}

TEST(Gradient, OpsWithoutOneSayTheirName) {
  for (const OpCase& op : op_table()) {
    if (op.has_gradient) continue;
    Tape tape;
    Inputs in(3);
    in.differentiate(tape);
    try {
      op.call(in, 5);
      ADD_FAILURE() << op.name << " was recorded";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unsupported);
      EXPECT_NE(std::string(error.what()).find("has no gradient"), std::string::npos) << op.name;
    }
  }
}

class GradientOnIsa : public testing::TestWithParam<std::string> {};

TEST_P(GradientOnIsa, EqualsReference) {
  const std::string best = backend::current_isa();
  backend::limit_isa(GetParam());
  for (const OpCase& op : op_table()) {
    if (!op.has_gradient) continue;
    for (int64_t n = 0; n <= std::min<int64_t>(op.max_size, 40); n += 1 + n / 8) {
      const Inputs in(static_cast<uint64_t>(n));
      std::optional<Slope> expected;
      {
        const backend::UseBackend scope(backend::reference());
        expected = slope(op, in, n);
      }
      const auto found = slope(op, in, n);
      ASSERT_EQ(found.has_value(), expected.has_value()) << op.name << " n=" << n;
      for (size_t i = 0; found && i < found->gradients.size(); ++i) {
        const Tensor &a = found->gradients[i], &e = expected->gradients[i];
        ASSERT_EQ(a.defined(), e.defined()) << op.name;
        if (!a.defined()) continue;
        const double error = std::sqrt(dot(a - e, a - e)), size = std::sqrt(dot(e, e));
        ASSERT_LE(error, 5 * op.tolerance * size + 1e-5) << op.name << " n=" << n << " input " << i;
      }
    }
  }
  backend::limit_isa(best);
}

INSTANTIATE_TEST_SUITE_P(Isa, GradientOnIsa, testing::ValuesIn(backend::supported_isas()),
                         [](const auto& isa) { return isa.param; });

TEST(GradientThreads, GradientsRepeatExactly) {
  const int threads = num_threads();
  set_num_threads(3);
  for (const OpCase& op : op_table()) {
    if (!op.has_gradient) continue;
    const int64_t n = std::min<int64_t>(op.max_size, 37);
    const auto first = slope(op, Inputs(5), n), again = slope(op, Inputs(5), n);
    for (size_t i = 0; first && i < first->gradients.size(); ++i) {
      if (!first->gradients[i].defined()) continue;
      const Tensor a = contiguous(first->gradients[i]), b = contiguous(again->gradients[i]);
      EXPECT_EQ(0, std::memcmp(a.raw(), b.raw(), a.nbytes())) << op.name << " input " << i;
    }
  }
  set_num_threads(threads);
}

Tensor leaf(const Shape& shape, float start) {
  const Tensor t = Tensor::empty(shape);
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = start + 0.1f * static_cast<float>(i);
  }
  return t;
}

TEST(TapeTest, NothingIsRecordedWithoutOne) {
  const Tensor x = leaf({2, 3}, 1);
  EXPECT_FALSE(Tape::active());
  Tape tape;
  const Tensor y = x * x;  // x is not watched
  tape.watch(x);
  const Gradients g = tape.backward(sum(sum(y, 0), 0));
  EXPECT_FALSE(g(x).defined());
}

TEST(TapeTest, ATensorUsedTwiceGetsBothGradients) {
  const Tensor x = leaf({3}, 1);
  Tape tape;
  tape.watch(x);
  const Tensor y = x + x;      // both gradients are dy itself
  const Tensor z = y * x + x;  // 2 x^2 + x
  const Tensor g = tape.backward(sum(z, 0))(x);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_FLOAT_EQ(g.data<float>()[i], 4 * x.data<float>()[i] + 1);
  }
}

TEST(TapeTest, ViewsShareTheGradientOfTheirMemory) {
  const Tensor x = leaf({2, 4}, 0);
  Tape tape;
  tape.watch(x);
  const Tensor turned = x.transpose(0, 1).slice(0, 1, 3);  // columns 1 and 2
  const Tensor y = turned * 3 + x.select(0, 0).slice(0, 0, 2).expand({2, 2});
  const Tensor g = tape.backward(sum(sum(y, 0), 0))(x);
  const std::vector<float> expected = {2, 5, 3, 0, 0, 3, 3, 0};
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(g.values<float>()[i], expected[i]) << i;
}

TEST(TapeTest, AMemorySeenInAnotherOrderHasItsGradientInItsOwn) {
  const Tensor x = leaf({2, 3}, 0), factors = leaf({3, 2}, 1);
  Tape tape;
  tape.watch(x);
  const Tensor y = x.transpose(0, 1) * factors;
  const Tensor g = tape.backward(sum(sum(y, 0), 0))(x);
  const std::vector<float> expected = {1, 1.2f, 1.4f, 1.1f, 1.3f, 1.5f};
  for (size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(g.values<float>()[i], expected[i]) << i;
}

TEST(TapeTest, APauseHidesTheTape) {
  const Tensor x = leaf({2}, 1);
  Tape tape;
  tape.watch(x);
  Tensor constant;
  {
    const NoTape pause;
    EXPECT_FALSE(Tape::active());
    constant = x * x;
  }
  const Tensor g = tape.backward(sum(constant * x, 0))(x);
  EXPECT_FLOAT_EQ(g.data<float>()[1], constant.data<float>()[1]);
}

TEST(TapeTest, NamesWhatCannotBeWatchedOrDifferentiated) {
  Tape tape;
  EXPECT_THROW(tape.watch(Tensor::zeros({2}, DType::i32)), Error);
  const Tensor x = leaf({2}, 1);
  tape.watch(x);
  EXPECT_THROW(tape.backward(x * x), Error);  // not one number
  EXPECT_THROW(argmax(x), Error);
}

TEST(TapeTest, MemoryOfWhatNobodyNeedsIsFreedBeforeBackward) {
  const Tensor x = leaf({1000}, 1);
  Tape tape;
  tape.watch(x);
  const int64_t before = allocator_stats().bytes_in_use;
  Tensor y = x;
  for (int i = 0; i < 10; ++i) y = y + x;  // a sum keeps nothing
  EXPECT_LE(allocator_stats().bytes_in_use - before, 3 * 4096);
  const Tensor g = tape.backward(sum(y, 0))(x);
  EXPECT_FLOAT_EQ(g.data<float>()[0], 11);
}

}  // namespace
}  // namespace ocelli::test
