#include "ocelli/train/dinov2_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ocelli/base/rng.h"
#include "ocelli/ops/reduce.h"

namespace ocelli {
namespace {

Tensor random(const Shape& shape, float scale, uint64_t seed) {
  const Tensor x = Tensor::empty(shape);
  Rng rng(seed);
  for (float& value : x.values<float>()) value = scale * rng.normal();
  return x;
}

TEST(SinkhornKnopp, SharesRowsOutEvenlyAmongPrototypes) {
  const Tensor p = sinkhorn_knopp(random({12, 6}, 0.1f, 1), 0.1, Ranks(), 50);
  for (const float row : sum(p, 1).values<float>()) EXPECT_NEAR(row, 1, 1e-5);
  for (const float column : sum(p, 0).values<float>()) EXPECT_NEAR(column, 2, 1e-4);
}

TEST(SinkhornKnopp, HoldsWhereExponentialsWouldNot) {
  const Tensor p = sinkhorn_knopp(random({8, 5}, 30, 2), 0.04);
  for (const float x : p.values<float>()) EXPECT_TRUE(std::isfinite(x));
  for (const float row : sum(p, 1).values<float>()) EXPECT_NEAR(row, 1, 1e-5);
}

TEST(CentredSoftmax, FollowsTheMeanOfTheLogits) {
  const Tensor centre = Tensor::zeros({3}), logits = random({4, 3}, 1, 3);
  for (int i = 0; i < 400; ++i) update_centre(centre, logits, 0.9);
  const Tensor expected = mean(logits, 0);
  for (int k = 0; k < 3; ++k) {
    EXPECT_NEAR(centre.data<float>()[k], expected.data<float>()[k], 1e-5);
  }
  // One row alone is its own mean: every prototype is as likely.
  const Tensor row = random({1, 3}, 1, 4), own = Tensor::zeros({3});
  update_centre(own, row, 0);
  for (const float p : centred_softmax(row, own, 0.07).values<float>()) {
    EXPECT_NEAR(p, 1.0 / 3, 1e-6);
  }
}

TEST(Entropies, TellACollapseApart) {
  const Tensor even = Tensor::full({4, 8}, 0.125f), same = Tensor::zeros({4, 8}),
               each = Tensor::zeros({4, 8});
  for (int i = 0; i < 4; ++i) {
    same.data<float>()[8 * i] = 1;
    each.data<float>()[8 * i + i] = 1;
  }
  EXPECT_NEAR(mean_entropy(even), std::log(8), 1e-6);
  EXPECT_EQ(mean_entropy(same), 0);
  EXPECT_EQ(marginal_entropy(same), 0);
  EXPECT_EQ(mean_entropy(each), 0);
  EXPECT_NEAR(marginal_entropy(each), std::log(4), 1e-6);
}

TEST(Dinov2Losses, RefuseWhatDoesNotFit) {
  const Tensor four = random({4, 5}, 1, 1), six = random({6, 5}, 1, 2);
  EXPECT_THROW(dino_loss(four, {}, six, 0.1), Error);
  EXPECT_THROW(dino_loss(four, random({3, 5}, 1, 3), four, 0.1), Error);
  EXPECT_THROW(dino_loss(four, {}, four, 0), Error);
  const Tensor masks = Tensor::zeros({2, 4}, DType::u8);
  EXPECT_THROW(ibot_loss(four, four, masks, 0.1), Error);
  EXPECT_THROW(koleo_loss(random({2, 5}, 1, 4)), Error);  // one image has no other
}

}  // namespace
}  // namespace ocelli
