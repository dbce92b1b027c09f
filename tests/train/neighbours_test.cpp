#include "ocelli/train/neighbours.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ocelli/base/rng.h"

namespace ocelli {
namespace {

Tensor rows(const std::vector<float>& values, int64_t width) {
  return Tensor::from<float>(values, {static_cast<int64_t>(values.size()) / width, width});
}

TEST(Knn, VotesAreWeighted) {
  const std::vector<float> scores = {0.9f, 0.8f, 0.8f, 0.1f, 0.95f};
  const std::vector<int64_t> labels = {0, 1, 1, 2, 2};
  // e^(.95/.07) > e^(.9/.07) > 2 e^(.8/.07); warm votes count heads.
  EXPECT_EQ(knn_classify(scores, labels, {.k = 5}, 5), (std::vector<int64_t>{2, 0, 1}));
  EXPECT_EQ(knn_classify(scores, labels, {.k = 4, .temperature = 10}, 2),
            (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(knn_classify(scores, labels, {.k = 1}, 5), std::vector<int64_t>{2});
}

// The class of a row is what the others say, however near it is to itself.
TEST(Knn, ARowDoesNotVoteForItself) {
  const Tensor all = rows({1, 0, 0.8f, 0.6f, 0.6f, 0.8f, 0, 1}, 2);
  EXPECT_EQ(count_knn(all, {0, 0, 1, 1}), 2);  // the outer ones, whose nearest is their like
  EXPECT_EQ(count_knn(all, {0, 0, 1, 1}, all, {0, 0, 1, 1}).top1, 4);
  EXPECT_EQ(count_knn(rows({1, 0, 0, 1}, 2), {0, 1}), 0);
}

TEST(Recall, AQueryIsAnsweredByAnyOfItsOwn) {
  const Tensor keys = rows({1, 0, 0.9f, 0.1f, 0, 1}, 2);
  const Recall all = recall(rows({1, 0, 0, 1}, 2), keys, {{1, 0}, {2}});
  EXPECT_DOUBLE_EQ(all.r1, 1);
  const Recall half = recall(rows({1, 0, 0, 1}, 2), keys, {{1}, {2}});
  EXPECT_DOUBLE_EQ(half.r1, 0.5);
  EXPECT_DOUBLE_EQ(half.r5, 1);
}

TEST(Recall, EqualSimilaritiesRankByOrder) {
  const Tensor keys = Tensor::full({20, 2}, 1), query = Tensor::full({1, 2}, 1);
  EXPECT_DOUBLE_EQ(recall(query, keys, {{0}}).r1, 1);
  EXPECT_DOUBLE_EQ(recall(query, keys, {{4}}).r1, 0);
  EXPECT_DOUBLE_EQ(recall(query, keys, {{4}}).r5, 1);
  EXPECT_DOUBLE_EQ(recall(query, keys, {{10}}).r10, 0);
}

// More queries than one block, against sorting every row.
TEST(Recall, BlocksMakeNoDifference) {
  constexpr int64_t kQueries = 600, kKeys = 70, kWidth = 8;
  Rng rng(3);
  Tensor queries = Tensor::empty({kQueries, kWidth}), keys = Tensor::empty({kKeys, kWidth});
  for (const Tensor& t : {queries, keys}) {
    for (float& x : t.values<float>()) x = static_cast<float>(rng.next_u32() % 5);
  }
  std::vector<std::vector<int64_t>> own(kQueries);
  int64_t hits[3] = {};
  for (int64_t q = 0; q < kQueries; ++q) {
    own[q] = {q % kKeys, (q * 7 + 3) % kKeys};
    std::vector<std::pair<float, int64_t>> order;
    for (int64_t k = 0; k < kKeys; ++k) {
      float dot = 0;  // of small integers, so exact
      for (int64_t d = 0; d < kWidth; ++d) {
        dot += queries.data<float>()[q * kWidth + d] * keys.data<float>()[k * kWidth + d];
      }
      order.emplace_back(-dot, k);
    }
    std::ranges::sort(order);
    int64_t rank = 0;
    while (std::ranges::find(own[q], order[rank].second) == own[q].end()) ++rank;
    hits[0] += rank < 1;
    hits[1] += rank < 5;
    hits[2] += rank < 10;
  }
  const Recall found = recall(queries, keys, own);
  EXPECT_DOUBLE_EQ(found.r1, hits[0] / 600.0);
  EXPECT_DOUBLE_EQ(found.r5, hits[1] / 600.0);
  EXPECT_DOUBLE_EQ(found.r10, hits[2] / 600.0);
}

}  // namespace
}  // namespace ocelli
