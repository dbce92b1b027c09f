#include "ocelli/index/exact_search.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/index/dot.h"
#include "tests/index/support.h"

namespace ocelli {
namespace {

std::vector<Hit> by_hand(const float* query, const HalfRows& rows, int64_t k) {
  std::vector<Hit> hits;
  for (int64_t i = 0; i < rows.count; ++i) {
    hits.push_back({plain_dot(query, rows.row(i), rows.width), static_cast<RowId>(i)});
  }
  std::ranges::sort(hits, better);
  hits.resize(std::min(k, rows.count));
  return hits;
}

TEST(Dot, MatchesTheSumInEveryInstructionSet) {
  const std::string before = backend::current_isa();
  for (const std::string& isa : backend::supported_isas()) {
    backend::limit_isa(isa);
    for (const int64_t width : {1, 3, 15, 16, 17, 31, 32, 33, 64, 100, 385}) {
      const HalfMatrix matrix(clustered(9, width, 3));
      const HalfRows rows = matrix;
      const Tensor query = clustered(1, width, 1, 5);
      std::vector<float> scores(9);
      dot_all(query.data<float>(), rows, scores.data());
      for (int64_t i = 0; i < 9; ++i) {
        EXPECT_NEAR(scores[i], plain_dot(query.data<float>(), rows.row(i), width), 2e-6)
            << isa << ", width " << width << ", row " << i;
      }
      const RowId ids[] = {8, 0, 3, 3, 1};
      std::vector<float> listed(5);
      dot_rows(query.data<float>(), rows, ids, listed.data());
      for (size_t i = 0; i < 5; ++i) EXPECT_EQ(listed[i], scores[ids[i]]);
    }
  }
  backend::limit_isa(before);
}

TEST(ExactSearch, FewAndManyQueriesFindWhatAScanFinds) {
  const HalfMatrix matrix(clustered(3000, 48, 20));
  const HalfRows rows = matrix;
  const Tensor queries = clustered(150, 48, 20, 7);
  for (const int64_t count : {1, 7, 8, 150}) {
    const auto answers = search_exact(queries.slice(0, 0, count), rows, 11);
    ASSERT_EQ(answers.size(), static_cast<size_t>(count));
    for (int64_t q = 0; q < count; ++q) {
      const auto expected = by_hand(queries.data<float>() + q * 48, rows, 11);
      ASSERT_EQ(answers[q].size(), 11u);
      for (size_t i = 0; i < 11; ++i) {
        EXPECT_NEAR(answers[q][i].score, expected[i].score, 2e-6) << count << ", query " << q;
      }
      EXPECT_EQ(answers[q][0].row, expected[0].row);
    }
  }
}

TEST(ExactSearch, EqualScoresAreInTheOrderOfTheRows) {
  const Tensor same = Tensor::full({20000, 8}, 0.25f);
  const HalfMatrix rows(same);
  for (const int64_t count : {1, 10}) {
    const auto answers = search_exact(same.slice(0, 0, count), rows, 5);
    for (RowId i = 0; i < 5; ++i) EXPECT_EQ(answers.back()[i].row, i);
  }
}

TEST(ExactSearch, LooksAmongTheGivenRowsOnly) {
  const HalfMatrix matrix(clustered(5000, 16, 4));
  const HalfRows rows = matrix;
  std::vector<RowId> among;
  for (RowId i = 3; i < 5000; i += 97) among.push_back(i);
  const auto answers = search_exact(clustered(1, 16, 4, 3), rows, 30, among);
  ASSERT_EQ(answers[0].size(), 30u);
  for (const Hit& hit : answers[0]) EXPECT_EQ((hit.row - 3) % 97, 0u);
  EXPECT_TRUE(search_exact(clustered(1, 16, 4, 3), rows, 30, std::vector<RowId>{})[0].empty());
}

TEST(ExactSearch, NaNIsNoAnswer) {
  Tensor values = clustered(100, 16, 4);
  values.data<float>()[5 * 16] = NAN;
  const auto answers = search_exact(clustered(1, 16, 4), HalfMatrix(values), 100);
  EXPECT_EQ(answers[0].size(), 99u);
}

TEST(ExactSearch, ASizeThatDoesNotFitIsNamed) {
  try {
    search_exact(clustered(1, 16, 1), HalfMatrix(clustered(4, 12, 1)), 3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_STREQ(error.what(), "search: the queries are [1, 16] but the rows have 12 numbers");
  }
}

}  // namespace
}  // namespace ocelli
