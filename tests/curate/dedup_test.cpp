// Groups without chains; the second look at pictures that are made here.
#include <gtest/gtest.h>

#include <cmath>

#include "ocelli/curate/exact.h"
#include "ocelli/curate/groups.h"
#include "ocelli/curate/keypoints.h"
#include "ocelli/curate/pair_score.h"
#include "ocelli/curate/perceptual_hash.h"
#include "ocelli/curate/registration.h"

namespace ocelli {
namespace {

// Blobs of many sizes at places that `seed` chooses.
Image scene(int64_t height, int64_t width, double seed, const Affine& map = {},
            bool invert = false) {
  Image image{Tensor::empty({height, width, 3}, DType::u8), "made"};
  auto* p = image.pixels.data<uint8_t>();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const auto [u, v] = map(static_cast<double>(x), static_cast<double>(y));
      double value = 0;
      for (int i = 1; i < 12; ++i) {
        value += std::sin(u * 0.013 * i + v * 0.007 * i * std::cos(seed * i) + seed * i * i) *
                 std::cos(v * 0.011 * i - u * 0.005 * i + seed * 3 * i);
      }
      const auto grey = static_cast<uint8_t>(std::clamp(128 + 24 * value, 0.0, 255.0));
      for (int c = 0; c < 3; ++c) *p++ = invert ? 255 - grey : grey;
    }
  }
  return image;
}

Affine turn(double degrees, double scale) {
  const double c = std::cos(degrees * M_PI / 180) * scale,
               s = std::sin(degrees * M_PI / 180) * scale;
  return {c, -s, 20, s, c, 12};
}

TEST(Registration, FindsTheMapBetweenTwoViews) {
  const Affine truth = turn(6, 0.9);
  const GreyPyramid a(scene(256, 256, 1)), b(scene(256, 256, 1, truth.inverse()));
  Affine map{0.93, -0.07, 16, 0.07, 0.93, 9};  // about right, as votes of patches are
  ASSERT_TRUE(refine(a, b, 2, map) && refine(a, b, 1, map));
  EXPECT_NEAR(map.xx, truth.xx, 0.01);
  EXPECT_NEAR(map.yx, truth.yx, 0.01);
  EXPECT_NEAR(map.x0, truth.x0, 1);
  const Agreement agreed = agreement(a, b, map);
  EXPECT_GT(agreed.median, 0.8f);
  EXPECT_GT(agreed.overlap, 0.6f);
}

TEST(Registration, DoesNotAgreeOnDifferentScenes) {
  const GreyPyramid a(scene(256, 256, 1)), b(scene(256, 256, 2.3));
  Affine map;
  if (refine(a, b, 2, map) && refine(a, b, 1, map)) {
    EXPECT_LT(agreement(a, b, map).median, 0.35f);
  }
}

TEST(Registration, LaysANegativeOverItsPicture) {
  const Affine truth = turn(6, 0.9);
  const GreyPyramid a(scene(256, 256, 1)), b(scene(256, 256, 1, truth.inverse(), true));
  Affine map{0.93, -0.07, 16, 0.07, 0.93, 9};
  ASSERT_TRUE(refine(a, b, 2, map, Tones::negative) && refine(a, b, 1, map, Tones::negative));
  EXPECT_GT(correlation(a, b, 1, map, Tones::negative), 0.8f);
  EXPECT_GT(agreement(a, b, map, Tones::negative).median, 0.8f);
  EXPECT_LT(agreement(a, b, map).median, -0.8f);
}

Image solarised(Image image) {
  auto* p = image.pixels.data<uint8_t>();
  for (int64_t i = 0; i < image.pixels.numel(); ++i) p[i] = p[i] < 128 ? p[i] : 255 - p[i];
  return image;
}

TEST(Registration, LaysASolarisedPictureOverItsEdges) {
  const Affine truth = turn(6, 0.9);
  const GreyPyramid a(scene(256, 256, 1)), b(solarised(scene(256, 256, 1, truth.inverse())));
  Affine map{0.93, -0.07, 16, 0.07, 0.93, 9};
  ASSERT_TRUE(refine(a, b, 2, map, Tones::any) && refine(a, b, 1, map, Tones::any));
  EXPECT_NEAR(map.xx, truth.xx, 0.02);
  EXPECT_NEAR(map.yx, truth.yx, 0.02);
  EXPECT_GT(agreement(a, b, map, Tones::any).median, 0.5f);
  EXPECT_LT(agreement(a, b, map).median, 0.3f);
  EXPECT_LT(agreement(a, b, map, Tones::negative).median, 0.3f);
}

TEST(Keypoints, OfBothSignsSpeakTogether) {
  const auto votes =
      vote(find_keypoints(scene(256, 256, 1)), find_keypoints(solarised(scene(256, 256, 1))));
  ASSERT_FALSE(votes.empty());
  EXPECT_EQ(votes[0].tones, Tones::any);
  EXPECT_GE(votes[0].matches, 8);
}

TEST(DuplicateScore, AgreeingKeypointsSpeakForWhatIsHalfHidden) {
  PairEvidence hidden{.cosine = 0.4f, .keypoints = 5, .agreement = {.median = 0.3f, .blocks = 40}};
  EXPECT_LT(duplicate_score(hidden), 0.5f);
  hidden.keypoints = 40;
  EXPECT_GT(duplicate_score(hidden), 0.9f);
  EXPECT_LT(duplicate_score({.cosine = 0.9f, .agreement = {.median = 0.1f, .blocks = 60}}), 0.1f);
}

TEST(Keypoints, AreFoundAgainTurnedMirroredAndNegative) {
  const Keypoints a = find_keypoints(scene(256, 256, 1));
  ASSERT_GT(a.points.size(), 60u);
  for (const double degrees : {10.0, 130.0}) {
    for (const bool mirrored : {false, true}) {
      for (const bool negative : {false, true}) {
        const Affine flip{-1, 0, 256, 0, 1, 0};
        const Affine middle{1, 0, 128, 0, 1, 128}, away{1, 0, -128, 0, 1, -128};
        Affine round = turn(degrees, 0.8);
        round.x0 = round.y0 = 0;
        const Affine truth = middle * round * away * (mirrored ? flip : Affine{});
        const auto votes = vote(a, find_keypoints(scene(256, 256, 1, truth.inverse(), negative)));
        ASSERT_FALSE(votes.empty());
        EXPECT_GE(votes[0].matches, 8);
        EXPECT_TRUE(votes[0].tones == (negative ? Tones::negative : Tones::same));
        const auto [x, y] = votes[0].map(100, 140);
        const auto [u, v] = truth(100, 140);
        EXPECT_NEAR(x, u, 5);
        EXPECT_NEAR(y, v, 5);
      }
    }
  }
}

TEST(Keypoints, OfDifferentScenesDoNotAgree) {
  const auto votes = vote(find_keypoints(scene(256, 256, 1)), find_keypoints(scene(256, 256, 2.3)));
  EXPECT_TRUE(votes.empty() || votes[0].matches < 8);
}

TEST(Registration, InverseUndoesAMap) {
  const Affine map = turn(20, 1.4), unit = map * map.inverse();
  EXPECT_NEAR(unit.xx, 1, 1e-12);
  EXPECT_NEAR(unit.xy, 0, 1e-12);
  EXPECT_NEAR(unit.x0, 0, 1e-9);
  EXPECT_NEAR(unit.y0, 0, 1e-9);
}

TEST(PerceptualHash, IsNearForAResizedPictureAndFarForAnother) {
  const PerceptualHash a = perceptual_hash(scene(256, 256, 1));
  EXPECT_LE(hash_distance(a, perceptual_hash(scene(128, 128, 1, {2, 0, 0, 0, 2, 0}))), 4);
  EXPECT_GE(hash_distance(a, perceptual_hash(scene(256, 256, 2.3))), 16);
  EXPECT_LE(hash_distance(a, perceptual_hash(scene(256, 256, 1, {}, true))), 4);
  EXPECT_LE(hash_distance(a, perceptual_hash(scene(256, 256, 1, {0, -1, 255, 1, 0, 0}))), 4);
}

TEST(PixelHash, DependsOnPixelsAndSizeAlone) {
  Image a = scene(8, 16, 1), b = scene(8, 16, 1), c = scene(8, 16, 1);
  b.format = "other";
  c.pixels = c.pixels.view({16, 8, 3});
  EXPECT_EQ(pixel_hash(a), pixel_hash(b));
  EXPECT_NE(pixel_hash(a), pixel_hash(c));
  b.pixels.data<uint8_t>()[5] ^= 1;
  EXPECT_NE(pixel_hash(a), pixel_hash(b));
}

TEST(Groups, TakeWhatIsTwoPairsAwayAndNoMore) {
  // A chain 0 - 1 - 2 - 3 - 4, of which 0 is the best.
  const std::vector<ScoredPair> chain = {
      {0, 1, 0.99f}, {1, 2, 0.95f}, {2, 3, 0.99f}, {3, 4, 0.97f}};
  const auto groups = group_duplicates(chain, {0, 1, 2, 3, 4}, 0.9f);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].keep, 0u);
  ASSERT_EQ(groups[0].duplicates.size(), 2u);
  EXPECT_EQ(groups[0].duplicates[1].row, 2u);
  EXPECT_EQ(groups[0].duplicates[1].via, 1u);
  EXPECT_FLOAT_EQ(groups[0].duplicates[1].score, 0.95f);
  EXPECT_EQ(groups[1].keep, 3u);
  ASSERT_EQ(groups[1].duplicates.size(), 1u);
  EXPECT_EQ(groups[1].duplicates[0].row, 4u);
}

TEST(Groups, KeepTheBestAndDropWeakPairs) {
  const auto groups = group_duplicates({{0, 1, 0.95f}, {0, 2, 0.5f}}, {2, 0, 1}, 0.9f);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].keep, 1u);
  ASSERT_EQ(groups[0].duplicates.size(), 1u);
  EXPECT_EQ(groups[0].duplicates[0].row, 0u);
}

}  // namespace
}  // namespace ocelli
