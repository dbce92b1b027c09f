// What the op table cannot say: errors, memory, PyTorch's own numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ocelli/base/threads.h"
#include "ocelli/nn/layers.h"
#include "ocelli/ops/attention.h"
#include "ocelli/ops/conv.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/flops.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/profile.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/resize.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/allocator.h"

namespace ocelli {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Linear, ErrorNamesBothShapes) {
  const LinearWeight w(Tensor::zeros({3072, 1024}), Tensor());
  EXPECT_EQ(message_of([&] {
              linear(Tensor::zeros({2, 197, 768}), w);
            }),
            "linear: x is [2, 197, 768] but weight is [3072, 1024]");
}

TEST(Linear, ResidualHandedOverIsWrittenInPlace) {
  LinearWeight w(Tensor::full({4, 4}, 1), Tensor());
  w.pack();
  Tensor residual = Tensor::full({2, 4}, 10);
  const void* memory = residual.raw();
  const Tensor x = Tensor::full({2, 4}, 1);
  const Tensor kept = linear(x, w, {.residual = residual});
  EXPECT_EQ(residual.values<float>()[0], 10);
  EXPECT_EQ(kept.values<float>()[0], 14);
  const Tensor y = linear(x, w, {.residual = std::move(residual)});
  EXPECT_EQ(y.raw(), memory);
  EXPECT_EQ(y.values<float>()[7], 14);
}

// On one thread: with more, a thread that comes late takes its first scratch memory then.
TEST(Allocator, SecondForwardAsksTheSystemForNothing) {
  const int threads = num_threads();
  set_num_threads(1);
  LinearWeight w(Tensor::full({300, 200}, 1), Tensor());
  w.pack();
  const Tensor x = Tensor::full({50, 200}, 1);
  const auto forward = [&] {
    const Tensor y = gelu(linear(x, w));
    const Tensor q = reshape(y, {2, 25, 3, 100});
    return softmax(layer_norm(attention(q, q, q), Tensor(), Tensor(), 1e-5f));
  };
  forward();
  const int64_t before = allocator_stats().system_allocations;
  for (int i = 0; i < 3; ++i) forward();
  EXPECT_EQ(allocator_stats().system_allocations, before);
  set_num_threads(threads);
}

TEST(Profile, NamesEveryCallWithItsShapesAndWork) {
  LinearWeight w(Tensor::full({11, 7}, 1), Tensor());
  w.pack();
  const Tensor x = Tensor::full({5, 7}, 1);
  const Profile profile;
  softmax(linear(x, w));
  const auto& calls = profile.calls();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].op, "linear");
  EXPECT_EQ(calls[0].shapes, "5x7 -> 5x11");
  EXPECT_EQ(calls[0].flops, 2 * 5 * 7 * 11);
  EXPECT_EQ(calls[0].bytes, 4 * (5 * 7 + 7 * 11 + 5 * 11));
  EXPECT_EQ(calls[1].op, "softmax");
  EXPECT_EQ(calls[1].flops, 0);
  EXPECT_GE(calls[1].start_us, calls[0].start_us + calls[0].us);
}

TEST(Profile, CountsAWeightAsItIsHeld) {
  const backend::UseBackend scope(backend::cpu(backend::Precision::bf16));
  LinearWeight w(Tensor::full({11, 8}, 1), Tensor());
  w.pack();
  const Tensor x = Tensor::full({5, 8}, 1);
  const Profile profile;
  linear(x, w);
  EXPECT_EQ(profile.calls().at(0).bytes, 4 * (5 * 8 + 5 * 11) + 2 * 8 * 11);
}

TEST(Flops, CountsTwoAMultiplyAdd) {
  FlopCounter counter;
  linear(Tensor::zeros({5, 7}), LinearWeight(Tensor::zeros({11, 7}), Tensor()));
  EXPECT_EQ(counter.total(), 2 * 5 * 7 * 11);
}

TEST(Attention, AQueryWithoutKeysGivesZeros) {
  const Tensor q = Tensor::full({1, 2, 1, 4}, 1);
  AttentionOptions options;
  options.key_mask = Tensor::zeros({1, 2}, DType::u8);
  for (float x : attention(q, q, q, options).values<float>()) EXPECT_EQ(x, 0);
}

// An observer is shown each call, and the weights are those that attention() weighs v with: with an
// identity for v, it gives them out.
TEST(Attention, WeightsAreThoseOfTheFastPath) {
  const int64_t tokens = 7;
  Tensor q = Tensor::empty({2, tokens, 2, 4}), identity = Tensor::zeros({1, tokens, 1, tokens});
  for (int64_t i = 0; i < q.numel(); ++i) q.data<float>()[i] = std::sin(static_cast<float>(i));
  for (int64_t i = 0; i < tokens; ++i) identity.data<float>()[i * (tokens + 1)] = 1;
  AttentionOptions options;
  options.causal = true;
  options.key_mask = Tensor::zeros({2, tokens}, DType::u8);
  for (int64_t i = 1; i < 2 * tokens; i += 2) options.key_mask.data<uint8_t>()[i] = 1;
  std::vector<int64_t> calls;
  Tensor weights;
  {
    const AttentionObserver observer([&](int64_t call, const Tensor& queries, const Tensor& keys,
                                         const AttentionOptions& given) {
      calls.push_back(call);
      weights = attention_weights(queries, keys, given);
    });
    attention(q, q, q, options);
    attention(q, q, q, options);
  }
  EXPECT_EQ(calls, (std::vector<int64_t>{0, 1}));
  const Tensor given = attention(q, q, identity.expand({2, tokens, 2, tokens}), options);
  EXPECT_EQ(calls.size(), 2u);  // the observer is gone
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < tokens * tokens; ++i) {
        const int64_t row = i / tokens, column = i % tokens;
        EXPECT_NEAR(weights.data<float>()[((b * 2 + h) * tokens + row) * tokens + column],
                    given.data<float>()[((b * tokens + row) * 2 + h) * tokens + column], 1e-6);
      }
    }
  }
}

TEST(Activation, NanStaysNan) {
  const Tensor x = Tensor::full({40}, std::numeric_limits<float>::quiet_NaN());
  for (Unary kind : {Unary::relu, Unary::relu6, Unary::gelu, Unary::exp, Unary::silu}) {
    for (float y : unary(kind, x).values<float>())
      EXPECT_TRUE(std::isnan(y)) << static_cast<int>(kind);
  }
}

// torch.nn.functional.interpolate(torch.arange(9.).reshape(1, 1, 3, 3), size=(2, 4), mode=...)
TEST(Interpolate, EqualsPyTorch) {
  Tensor x = Tensor::empty({1, 3, 3, 1});
  for (int i = 0; i < 9; ++i) x.data<float>()[i] = static_cast<float>(i);
  const auto expect = [&](const InterpolateOptions& options, std::vector<float> values) {
    const Tensor y = interpolate(x, 2, 4, options);
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_NEAR(y.values<float>()[i], values[i], 2e-5f) << i;
  };
  expect({Interpolation::bilinear}, {0.75f, 1.375f, 2.125f, 2.75f, 5.25f, 5.875f, 6.625f, 7.25f});
  expect({Interpolation::bilinear, true},
         {0.0f, 0.6666667f, 1.333333f, 2.0f, 6.0f, 6.666667f, 7.333333f, 8.0f});
  expect({Interpolation::bilinear, false, true},
         {1.125f, 1.75f, 2.5f, 3.125f, 4.875f, 5.5f, 6.25f, 6.875f});
  expect({Interpolation::bicubic},
         {0.5024414f, 1.104004f, 2.044434f, 2.645996f, 5.354004f, 5.955566f, 6.895996f, 7.497559f});
  expect({Interpolation::bicubic, true},
         {0.0f, 0.574074f, 1.425925f, 2.0f, 6.0f, 6.574075f, 7.425924f, 8.0f});
  expect({Interpolation::bicubic, false, true},
         {0.8771348f, 1.485969f, 2.372779f, 2.981612f, 5.018387f, 5.627221f, 6.514031f, 7.122865f});
  expect({Interpolation::nearest}, {0.0f, 0.0f, 1.0f, 2.0f, 3.0f, 3.0f, 4.0f, 5.0f});
}

TEST(Conv2d, SamePaddingIsTensorFlows) {
  const Conv2dWeight w(Tensor::zeros({1, 1, 3, 3}), Tensor(), {.stride = {2, 2}});
  EXPECT_EQ(same_padding(224, 225, w), (std::array<int64_t, 4>{0, 1, 1, 1}));
}

TEST(Argmax, TakesTheFirstOfEquals) {
  const std::vector<float> values = {1, 5, 5, 2, 9, 9};
  const Tensor y = argmax(Tensor::from<float>(values, {2, 3}));
  EXPECT_EQ(y.values<int32_t>()[0], 1);
  EXPECT_EQ(y.values<int32_t>()[1], 1);
}

TEST(Embedding, RefusesIndicesOutsideTheTable) {
  const std::vector<int32_t> ids = {0, 7};
  EXPECT_EQ(message_of([&] {
              embedding(Tensor::from<int32_t>(ids, {2}), Tensor::zeros({7, 3}));
            }),
            "embedding: index 7 in a table of 7 rows");
}

}  // namespace
}  // namespace ocelli
