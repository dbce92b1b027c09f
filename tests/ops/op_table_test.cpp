#include "tests/ops/op_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ocelli/backend/backend.h"
#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

namespace ocelli::test {
namespace {

void expect_close(const Tensor& actual, const Tensor& expected, float tolerance,
                  const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  const Tensor a = contiguous(actual), e = contiguous(expected);
  float largest = 1e-3f;
  for (float x : e.values<float>()) {
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  }
  for (int64_t i = 0; i < a.numel(); ++i) {
    const float p = a.data<float>()[i], q = e.data<float>()[i];
    if (p == q) continue;
    ASSERT_LE(std::abs(p - q), tolerance * largest)
        << what << " at " << i << " of " << a.shape().str() << ": " << p << ", expected " << q;
  }
}

class OpTable : public testing::TestWithParam<std::string> {};

TEST_P(OpTable, EqualsReferenceAtEverySize) {
  const std::string best = backend::current_isa();
  backend::limit_isa(GetParam());
  for (const OpCase& op : op_table()) {
    for (int64_t n = 0; n <= op.max_size; ++n) {
      for (uint64_t seed = 0; seed < 2; ++seed) {
        const std::string what = fmt::format("{} n={} seed={}", op.name, n, seed);
        Inputs inputs(seed * 1000 + static_cast<uint64_t>(n)), again = inputs;
        Tensor expected;
        {
          backend::UseBackend scope(backend::reference());
          try {
            expected = op.call(inputs, n);
          } catch (const Error& error) {  // a size that the op refuses, on any backend
            ASSERT_EQ(error.code(), ErrorCode::invalid_argument) << what;
            EXPECT_THROW(op.call(again, n), Error) << what;
            continue;
          }
        }
        expect_close(op.call(again, n), expected, op.tolerance, what);
        if (HasFatalFailure()) return;
      }
    }
  }
  backend::limit_isa(best);
}

INSTANTIATE_TEST_SUITE_P(Isa, OpTable, testing::ValuesIn(backend::supported_isas()),
                         [](const auto& isa) { return isa.param; });

TEST(OpTableThreads, ResultsDoNotDependOnThreadsAndRepeatExactly) {
  const int threads = num_threads();
  for (const OpCase& op : op_table()) {
    const int64_t n = std::min<int64_t>(op.max_size, 37);
    std::vector<Tensor> results;
    for (int count : {1, 2, 3, 3}) {
      set_num_threads(count);
      Inputs inputs(5);
      results.push_back(contiguous(op.call(inputs, n)));
    }
    set_num_threads(threads);
    expect_close(results[1], results[0], 1e-6f, op.name);
    expect_close(results[2], results[0], 1e-6f, op.name);
    EXPECT_EQ(0, std::memcmp(results[2].raw(), results[3].raw(), results[2].nbytes())) << op.name;
  }
}

}  // namespace
}  // namespace ocelli::test
