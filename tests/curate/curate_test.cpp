#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ocelli/curate/balance.h"

namespace ocelli {
namespace {

TEST(ShareEvenly, GivesAllTheSameAsFarAsTheyHave) {
  EXPECT_EQ(share_evenly(9, {10, 10, 10}), (std::vector<int64_t>{3, 3, 3}));
  EXPECT_EQ(share_evenly(9, {1, 10, 10}), (std::vector<int64_t>{1, 4, 4}));
  EXPECT_EQ(share_evenly(100, {1, 2, 3}), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(share_evenly(0, {5, 5}), (std::vector<int64_t>{0, 0}));
  const auto shares = share_evenly(7, {5, 5});
  EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), int64_t{0}), 7);
}

TEST(SampleBalanced, DrawsEvenlyFromClustersOfClusters) {
  // 90 + 6 + 4 rows in three clusters; the first two of them are one of the level above.
  KMeans rows, parts;
  for (int i = 0; i < 100; ++i) rows.cluster_of.push_back(i < 90 ? 0 : i < 96 ? 1 : 2);
  rows.sizes = {90, 6, 4};
  parts.cluster_of = {0, 0, 1};
  parts.sizes = {2, 1};
  const auto chosen = sample_balanced({rows, parts}, 16, 1);
  ASSERT_EQ(chosen.size(), 16u);
  EXPECT_TRUE(std::ranges::is_sorted(chosen));
  EXPECT_EQ(std::ranges::adjacent_find(chosen), chosen.end());
  int64_t of[3] = {};
  for (const RowId row : chosen) ++of[rows.cluster_of[row]];
  EXPECT_EQ(of[2], 4);  // all it has of its 8
  EXPECT_EQ(of[0], 6);
  EXPECT_EQ(of[1], 6);
  EXPECT_EQ(sample_balanced({rows, parts}, 16, 1), chosen);
  EXPECT_NE(sample_balanced({rows, parts}, 16, 2), chosen);
}

}  // namespace
}  // namespace ocelli
