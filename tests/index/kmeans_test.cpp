#include "ocelli/index/kmeans.h"

#include <gtest/gtest.h>

#include <numeric>

#include "ocelli/base/threads.h"
#include "tests/index/support.h"

namespace ocelli {
namespace {

TEST(KMeans, FindsClustersThatAreApart) {
  const HalfMatrix rows(clustered(600, 32, 6, 1, 0.2f));
  for (const bool spherical : {true, false}) {
    const KMeans result = kmeans(rows, {.clusters = 6, .spherical = spherical});
    for (int64_t i = 0; i < 600; ++i) {
      EXPECT_EQ(result.cluster_of[i], result.cluster_of[i % 6]) << i;
    }
    EXPECT_EQ(result.sizes, std::vector<int64_t>(6, 100));
  }
}

TEST(KMeans, TheSameForAnyNumberOfThreads) {
  const HalfMatrix rows(clustered(5000, 24, 40));
  set_num_threads(1);
  const KMeans one = kmeans(rows, {.clusters = 30, .seed = 3});
  set_num_threads(4);
  const KMeans four = kmeans(rows, {.clusters = 30, .seed = 3});
  EXPECT_EQ(one.cluster_of, four.cluster_of);
  EXPECT_TRUE(std::ranges::equal(one.centroids.values<float>(), four.centroids.values<float>()));
  const KMeans other = kmeans(rows, {.clusters = 30, .seed = 4});
  EXPECT_NE(one.cluster_of, other.cluster_of);
}

// Two places, five clusters: what cannot be filled stays empty, and nothing is lost.
TEST(KMeans, MoreClustersThanDifferentRows) {
  const Tensor values = Tensor::zeros({10, 2});
  for (int64_t i = 0; i < 10; ++i) values.data<float>()[2 * i + i % 2] = 1;
  const KMeans result = kmeans(HalfMatrix(values), {.clusters = 5});
  EXPECT_EQ(std::accumulate(result.sizes.begin(), result.sizes.end(), int64_t{0}), 10);
  EXPECT_NE(result.cluster_of[0], result.cluster_of[1]);
}

TEST(KMeans, LevelsClusterTheCentroidsOfTheLevelBelow) {
  const HalfMatrix rows(clustered(800, 16, 20));
  const auto levels = hierarchical_kmeans(rows, {20, 5, 2}, {.seed = 1});
  ASSERT_EQ(levels.size(), 3u);
  EXPECT_EQ(levels[0].cluster_of.size(), 800u);
  EXPECT_EQ(levels[1].cluster_of.size(), 20u);
  EXPECT_EQ(levels[2].centroids.shape(), Shape({2, 16}));
}

TEST(KMeans, MoreClustersThanRowsAreRefused) {
  EXPECT_THROW(kmeans(HalfMatrix(clustered(4, 8, 2)), {.clusters = 5}), Error);
  EXPECT_THROW(kmeans(HalfMatrix(clustered(4, 8, 2)), {.clusters = 0}), Error);
}

}  // namespace
}  // namespace ocelli
