// Products in bf16 and in 8 bits against what their definitions say, in f64, on every instruction
// set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/ops/attention.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/allocator.h"
#include "ocelli/tensor/convert.h"
#include "tests/ops/op_table.h"

namespace ocelli::test {
namespace {

using backend::Precision;

class PrecisionTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { backend::limit_isa(GetParam()); }
  void TearDown() override { backend::limit_isa(best_); }

 private:
  const std::string best_ = backend::current_isa();
};

LinearWeight packed(const Tensor& w, const Tensor& bias, Precision precision) {
  const backend::UseBackend scope(backend::cpu(precision));
  LinearWeight weight(w, bias);
  weight.pack();
  return weight;
}

Tensor rounded(const Tensor& x) {
  return to(to(x, DType::bf16), DType::f32);
}

// Rows in 8 bits: low + step * round((x - low) / step), in 255 steps from the least to the most.
Tensor in_bytes(const Tensor& x) {
  const Tensor y = to(contiguous(x), DType::f32).view(x.shape()) * 1.0f;
  const int64_t k = x.size(-1);
  for (int64_t r = 0; r < x.numel() / k; ++r) {
    float* row = y.data<float>() + r * k;
    const auto [low, high] = std::minmax_element(row, row + k);
    const float least = *low, step = (*high - *low) / 255;
    for (int64_t i = 0; step > 0 && i < k; ++i) {
      row[i] = least + step * std::nearbyint((row[i] - least) * (1 / step));
    }
  }
  return y;
}

// Rows of a weight in steps of 1 / `most` of the largest.
Tensor in_steps(const Tensor& w, float most) {
  const Tensor y = contiguous(w) * 1.0f;
  const int64_t k = w.size(1);
  for (int64_t r = 0; r < w.size(0); ++r) {
    float* row = y.data<float>() + r * k;
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) largest = std::max(largest, std::abs(row[i]));
    const float step = largest / most;
    for (int64_t i = 0; step > 0 && i < k; ++i) row[i] = step * std::nearbyint(row[i] * (1 / step));
  }
  return y;
}

// x w^T + bias in f64.
Tensor product(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const Tensor a = contiguous(x), b = contiguous(w), shift = contiguous(bias);
  const int64_t m = a.size(0), n = b.size(0), k = a.size(1);
  const Tensor y = Tensor::empty({m, n});
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = shift.data<float>()[j];
      for (int64_t c = 0; c < k; ++c) {
        sum += double{a.data<float>()[i * k + c]} * b.data<float>()[j * k + c];
      }
      y.data<float>()[i * n + j] = static_cast<float>(sum);
    }
  }
  return y;
}

void expect_close(const Tensor& actual, const Tensor& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  double largest = 1e-3, difference = 0;
  for (int64_t i = 0; i < actual.numel(); ++i) {
    const double e = expected.data<float>()[i];
    largest = std::max(largest, std::abs(e));
    difference = std::max(difference, std::abs(actual.data<float>()[i] - e));
  }
  EXPECT_LE(difference, tolerance * largest) << what;
}

struct Size {
  int64_t m, n, k;
};

// One row, edges of tiles and panels, odd depths, depths that are cut into slices, rows a page
// apart, enough work for all threads.
constexpr Size kSizes[] = {{1, 1, 1},     {1, 40, 7},     {3, 16, 2},
                           {15, 33, 64},  {29, 70, 191},  {5, 3, 3085},
                           {7, 40, 6149}, {17, 96, 2048}, {150, 192, 768}};

TEST_P(PrecisionTest, Bf16RoundsBothFactorsAndNothingElse) {
  for (const auto [m, n, k] : kSizes) {
    Inputs in(static_cast<uint64_t>(m * n + k));
    const Tensor x = in.uniform({m, k}), w = in.uniform({n, k}), bias = in.uniform({n});
    const LinearWeight weight = packed(w, contiguous(bias), Precision::bf16);
    const Tensor expected = product(rounded(x), rounded(w), bias);
    const std::string what = fmt::format("{} x {} x {}", m, n, k);
    expect_close(linear(x, weight), expected, 1e-5, what);
    expect_close(linear(to(x, DType::bf16), weight), expected, 1e-5, what + " from bf16");
    const Tensor residual = in.uniform({m, n}), scale = contiguous(in.uniform({n}));
    expect_close(linear(x, weight, {.scale = scale, .residual = residual}),
                 expected * scale + residual, 1e-5, what + " with scale and residual");
    const Tensor inner = linear(x, weight, {.activation = Unary::gelu, .inner = true});
    EXPECT_EQ(inner.dtype(), backend::has_bf16_dots() ? DType::bf16 : DType::f32);
    expect_close(to(inner, DType::f32), gelu(expected), 1.0 / 256, what + " inner");
  }
}

TEST_P(PrecisionTest, Int8RoundsRowsAndWeightsAsDocumented) {
  const float most = backend::has_byte_dots() ? 127 : 63;
  for (const auto [m, n, k] : kSizes) {
    Inputs in(static_cast<uint64_t>(m * n + k));
    const Tensor x = in.uniform({m, k}, -0.3f, 2), w = in.uniform({n, k}), bias = in.uniform({n});
    const LinearWeight weight = packed(w, contiguous(bias), Precision::int8);
    const std::string what = fmt::format("{} x {} x {}", m, n, k);
    // A number in the middle of two steps may go either way.
    const double tolerance = 2e-5 + 2e-3 / static_cast<double>(k);
    expect_close(linear(x, weight), product(in_bytes(x), in_steps(w, most), bias), tolerance, what);
    expect_close(linear(to(x, DType::bf16), weight, {.activation = Unary::relu}),
                 relu(product(in_bytes(rounded(x)), in_steps(w, most), bias)), tolerance,
                 what + " from bf16");
  }
}

// Groups of a weight's rows in steps, of bf16, of an eighth of the largest number, which becomes
// -8.
Tensor in_groups(const Tensor& w, int64_t group) {
  const Tensor y = contiguous(w) * 1.0f;
  const int64_t k = w.size(1);
  for (int64_t at = 0; at < w.numel(); at += std::min(group, k - at % k)) {
    float* first = y.data<float>() + at;
    float* end = first + std::min(group, k - at % k);
    const float most =
        *std::max_element(first, end, [](float a, float b) { return std::abs(a) < std::abs(b); });
    const float step = to_float(to_bfloat16(most / -8));
    for (float* x = first; step != 0 && x < end; ++x)
      *x = step * std::clamp(std::nearbyint(*x * (1 / step)), -8.0f, 7.0f);
  }
  return y;
}

TEST_P(PrecisionTest, Int4RoundsGroupsOfWeightsAsDocumented) {
  const bool bf16 = backend::has_bf16_dots();
  for (const auto [m, n, k] : kSizes) {
    for (const int64_t group : {32, 128}) {
      Inputs in(static_cast<uint64_t>(m * n + k));
      const Tensor x = in.uniform({m, k}), w = in.uniform({n, k}), bias = in.uniform({n});
      LinearWeight weight(w, contiguous(bias));
      {
        const backend::UseBackend scope(backend::cpu_int4(group));
        weight.pack();
      }
      const Tensor steps = in_groups(w, group);
      const Tensor expected =
          bf16 ? product(rounded(x), rounded(steps), bias) : product(x, steps, bias);
      const std::string what = fmt::format("{} x {} x {} in groups of {}", m, n, k, group);
      expect_close(linear(x, weight), expected, 1e-5, what);
      expect_close(linear(to(x, DType::bf16), weight, {.activation = Unary::relu}),
                   relu(product(rounded(x), bf16 ? rounded(steps) : steps, bias)), 1e-5,
                   what + " from bf16");
    }
  }
}

TEST_P(PrecisionTest, Int4KeepsZerosAndSurvivesNan) {
  const Tensor w = Tensor::zeros({3, 40});
  w.data<float>()[0] = std::nanf("");
  const LinearWeight weight = packed(w, Tensor::full({3}, 2.0f), Precision::int4);
  const Tensor y = linear(Tensor::full({1, 40}, 5.0f), weight);
  EXPECT_EQ(y.data<float>()[1], 2);
  EXPECT_EQ(y.data<float>()[2], 2);
}

TEST_P(PrecisionTest, Int8KeepsConstantRowsAndNan) {
  const LinearWeight weight = packed(Tensor::full({4, 8}, 0.5f), Tensor(), Precision::int8);
  const Tensor x = Tensor::full({2, 8}, 3.0f);
  x.data<float>()[8] = std::nanf("");
  const Tensor y = linear(x, weight);
  EXPECT_NEAR(y.data<float>()[0], 12, 1e-5);
  EXPECT_TRUE(std::isnan(y.data<float>()[4]));
}

TEST_P(PrecisionTest, Int8InOneRangeCutsOffAndKeepsNan) {
  const auto backend = backend::cpu_int8(-1, 3);  // steps of 4 / 255
  const backend::UseBackend scope(*backend);
  constexpr int64_t kDeep = 9000;  // several slices
  LinearWeight weight(Tensor::full({3, kDeep}, 0.5f), Tensor());
  weight.pack();
  const Tensor x = Tensor::full({3, kDeep}, 7.0f);
  for (int64_t i = 0; i < kDeep; ++i)
    x.data<float>()[i] = static_cast<float>(i % 256) * 4 / 255 - 1;
  x.data<float>()[3 * kDeep - 1] = std::nanf("");
  const Tensor y = linear(x, weight);
  double sum = 0;
  for (int64_t i = 0; i < kDeep; ++i) sum += 0.5 * x.data<float>()[i];
  EXPECT_NEAR(y.data<float>()[0], sum, 1e-3 * sum);
  EXPECT_NEAR(y.data<float>()[3], 0.5 * 3 * kDeep, 1);
  EXPECT_TRUE(std::isnan(y.data<float>()[6]));
  EXPECT_THROW(backend::cpu_int8(1, 1), Error);
}

TEST_P(PrecisionTest, AnswersDoNotDependOnThreads) {
  const int threads = num_threads();
  Inputs in(3);
  const Tensor x = in.uniform({60, 300}), w = in.uniform({333, 300});
  for (const Precision precision : {Precision::bf16, Precision::int8, Precision::int4}) {
    const LinearWeight weight = packed(w, Tensor(), precision);
    set_num_threads(1);
    const Tensor one = linear(x, weight);
    set_num_threads(3);
    expect_close(linear(x, weight), one, 0, backend::precision_name(precision));
  }
  set_num_threads(threads);
}

TEST_P(PrecisionTest, AttentionOfBf16) {
  for (const auto [nq, nk, d] :
       {std::array<int64_t, 3>{1, 1, 2}, {5, 33, 8}, {40, 77, 64}, {9, 6, 7}}) {
    Inputs in(static_cast<uint64_t>(nq));
    const auto bf16 = [&](int64_t n) { return to(in.uniform({2, n, 3, d}, -2, 2), DType::bf16); };
    const Tensor q = bf16(nq), k = bf16(nk), v = bf16(nk);
    for (const bool causal : {false, true}) {
      const AttentionOptions options{.causal = causal};
      const Tensor y = attention(q, k, v, options);
      EXPECT_EQ(y.dtype(), DType::bf16);
      const Tensor expected =
          attention(to(q, DType::f32), to(k, DType::f32), to(v, DType::f32), options);
      expect_close(to(y, DType::f32), expected, 0.01, fmt::format("{} x {} x {}", nq, nk, d));
    }
  }
}

// Of f32, as it is on the tape: the products are in bf16.
TEST_P(PrecisionTest, AttentionAndItsGradientInBf16) {
  struct Heads {
    int64_t nq, nk, d, dv;
  };
  for (const auto [nq, nk, d, dv] : {Heads{1, 1, 2, 2}, Heads{5, 33, 8, 6}, Heads{40, 77, 64, 64},
                                     Heads{300, 301, 16, 40}, Heads{9, 6, 7, 8}}) {
    for (const bool causal : {false, true}) {
      Inputs in(static_cast<uint64_t>(nq));
      const Tensor q = contiguous(in.uniform({2, nq, 3, d}, -2, 2)),
                   k = contiguous(in.uniform({2, nk, 3, d}, -2, 2)),
                   v = contiguous(in.uniform({2, nk, 3, dv}, -2, 2)),
                   dy = contiguous(in.uniform({2, nq, 3, dv}, -2, 2));
      const Tensor mask = Tensor::empty({2, nk}, DType::u8);
      std::fill_n(mask.data<uint8_t>(), mask.numel(), uint8_t{1});
      if (nk > 5) mask.data<uint8_t>()[2] = 0;
      const View hidden = mask;
      const backend::Attention params{
          .scale = 1 / std::sqrt(static_cast<float>(d)), .causal = causal, .key_mask = &hidden};
      const auto all = [&](const backend::Backend& backend) {
        const Tensor y = Tensor::empty(dy.shape()), dq = Tensor::empty(q.shape()),
                     dk = Tensor::empty(k.shape()), dv_ = Tensor::empty(v.shape());
        backend.attention(y, q, k, v, params);
        backend.attention_backward(dq, dk, dv_, nullptr, dy, q, k, v, params);
        return std::array{y, dq, dk, dv_};
      };
      const auto narrow = all(backend::cpu(Precision::bf16)), wide = all(backend::cpu());
      for (size_t i = 0; i < narrow.size(); ++i) {
        expect_close(narrow[i], wide[i], 0.015,
                     fmt::format("{} of {} x {} x {} {}", i, nq, nk, d, causal));
      }
    }
  }
}

// Inner results of linear() are read as they are: what was rounded before gives the same bits.
TEST_P(PrecisionTest, AttentionOfBf16HasTheGradientOfTheSameNumbersInF32) {
  const backend::UseBackend scope(backend::cpu(Precision::bf16));
  for (const auto& [n, d] : {std::pair<int64_t, int64_t>{33, 8}, {230, 64}, {9, 7}}) {
    Inputs in(static_cast<uint64_t>(n));
    const Tensor wide = rounded(contiguous(in.uniform({2, n, 3, 2, d}, -2, 2)));
    const Tensor dy = contiguous(in.uniform({2, n, 2, d}));
    const auto gradient = [&](DType dtype) {
      const Tensor qkv = to(wide, dtype), dqkv = Tensor::empty(wide.shape());
      backend::current().attention_backward(dqkv.select(2, 0), dqkv.select(2, 1), dqkv.select(2, 2),
                                            nullptr, dy, qkv.select(2, 0), qkv.select(2, 1),
                                            qkv.select(2, 2), {.scale = 0.3f});
      return dqkv;
    };
    const Tensor a = gradient(DType::bf16), b = gradient(DType::f32);
    EXPECT_TRUE(std::ranges::equal(a.values<float>(), b.values<float>())) << n << " x " << d;
  }
}

// y = activation(z), z = x w^T + bias: dz = dy activation'(z), dx = dz w, dw = dz^T x, dbias = sum
// dz
TEST_P(PrecisionTest, LinearOnATapeRoundsItsFactorsAndNothingElse) {
  for (const auto [m, n, k] :
       {Size{1, 1, 1}, Size{15, 33, 64}, Size{70, 191, 29}, Size{530, 40, 90}}) {
    for (const Activation activation :
         {Activation(), Activation(Unary::gelu), Activation(Unary::relu)}) {
      Inputs in(static_cast<uint64_t>(m * n + k));
      const Tensor x = contiguous(in.uniform({m, k})), w = contiguous(in.uniform({n, k})),
                   bias = contiguous(in.uniform({n})), dy = contiguous(in.uniform({m, n}));
      const backend::UseBackend scope(backend::cpu(Precision::bf16));
      const std::string what =
          fmt::format("{} x {} x {} {}", m, n, k, activation ? static_cast<int>(*activation) : -1);
      const Epilogue epilogue{.activation = activation, .inner = true};
      const Tensor expected = linear(x, packed(w, bias, Precision::bf16), epilogue);
      Tape tape;
      for (const Tensor& leaf : {x, w, bias}) tape.watch(leaf);
      const Tensor y = linear(x, {w, bias}, epilogue);
      ASSERT_EQ(y.dtype(), expected.dtype()) << what;
      expect_close(to(y, DType::f32), to(expected, DType::f32), backend::has_bf16_dots() ? 0 : 1e-6,
                   what);
      const Gradients gradients = tape.backward(y, dy);
      const Tensor z = product(rounded(x), rounded(w), bias), dz = contiguous(dy) * 1.0f;
      if (activation) backend::reference().unary_backward(*activation, dz, dy, z);
      const auto none = [](int64_t size) { return Tensor::zeros({size}); };
      // What follows an activation depends on z, which waits for it in bf16.
      const double tolerance = activation == Unary::gelu ? 0.01 : 1e-5;
      expect_close(gradients(bias), sum(dz, 0), tolerance, what + " dbias");
      expect_close(gradients(w),
                   product(rounded(dz).transpose(0, 1), rounded(x).transpose(0, 1), none(k)),
                   tolerance, what + " dw");
      expect_close(gradients(x), product(rounded(dz), rounded(w).transpose(0, 1), none(k)),
                   tolerance, what + " dx");
    }
  }
}

TEST_P(PrecisionTest, LinearWithoutRowsHasGradientsOfZero) {
  const Tensor x = Tensor::empty({0, 4}, DType::bf16), dy = Tensor::empty({0, 5}),
               weight = Tensor::full({5, 4}, 1), dweight = Tensor::full({5, 4}, 1),
               dbias = Tensor::full({5}, 1);
  const View dweight_view = dweight, dbias_view = dbias;
  backend::cpu(Precision::bf16)
      .linear_backward(nullptr, &dweight_view, &dbias_view, dy, x, weight, {});
  for (const float g : dweight.values<float>()) EXPECT_EQ(g, 0);
  for (const float g : dbias.values<float>()) EXPECT_EQ(g, 0);
}

TEST_P(PrecisionTest, WhatLinearKeepsForItsGradientIsBf16) {
  if (!backend::has_bf16_dots()) GTEST_SKIP() << "f32 is kept where it is multiplied";
  constexpr int64_t kNumbers = 1 << 20;
  const backend::UseBackend scope(backend::cpu(Precision::bf16));
  const Tensor w = Tensor::full({8, 1024}, 1), weight = w * 1;
  Tape tape;
  tape.watch(weight);
  const int64_t before = allocator_stats().bytes_in_use;
  const Tensor y = linear(Tensor::full({kNumbers / 1024, 1024}, 1), {weight, {}});
  EXPECT_LT(allocator_stats().bytes_in_use - before, 3 * kNumbers);
  const Gradients gradients = tape.backward(sum(sum(y, 0), 0));
  EXPECT_FLOAT_EQ(gradients(weight).data<float>()[0], kNumbers / 1024);
}

// A^T B over many rows, as the gradient of a weight is.
TEST_P(PrecisionTest, DeepProductsInBf16) {
  for (const auto [m, n, k] : {Size{1, 1, 3}, Size{7, 33, 255}, Size{150, 70, 700}}) {
    Inputs in(static_cast<uint64_t>(m));
    const Tensor a = contiguous(in.uniform({k, m})), b = contiguous(in.uniform({k, n}));
    const backend::UseBackend scope(backend::cpu(Precision::bf16));
    expect_close(
        matmul(a.transpose(0, 1), b),
        product(rounded(a).transpose(0, 1), rounded(b).transpose(0, 1), Tensor::zeros({n})), 1e-5,
        fmt::format("{} x {} x {}", m, n, k));
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, PrecisionTest, testing::ValuesIn(backend::supported_isas()),
                         [](const auto& isa) { return isa.param; });

}  // namespace
}  // namespace ocelli::test
