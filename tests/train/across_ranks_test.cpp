// Run by mpirun as several ranks, each of which has all tests.
#include "ocelli/train/across_ranks.h"

#include <gtest/gtest.h>

namespace ocelli {
namespace {

// More than MPI is given at once.
constexpr int64_t kMany = (int64_t{5} << 19) + 3;

float value(int rank, int64_t i) {
  return static_cast<float>(100 * rank + i % 89);
}

std::vector<float> values(int rank) {
  std::vector<float> all(kMany);
  for (int64_t i = 0; i < kMany; ++i) all[static_cast<size_t>(i)] = value(rank, i);
  return all;
}

TEST(AcrossRanks, ThereAreSeveral) {
  EXPECT_GT(ranks().size(), 1);
}

TEST(AcrossRanks, AllIsSummedAndGathered) {
  const int world = ranks().size();
  std::vector<float> sums = values(ranks().rank());
  ranks().sum(sums);
  std::vector<float> all(static_cast<size_t>(kMany * world));
  ranks().gather(values(ranks().rank()), all);
  for (int64_t i = 0; i < kMany; ++i) {
    float sum = 0;
    for (int r = 0; r < world; ++r) {
      sum += value(r, i);
      ASSERT_EQ(all[static_cast<size_t>(r * kMany + i)], value(r, i)) << r << " " << i;
    }
    ASSERT_EQ(sums[static_cast<size_t>(i)], sum) << i;
  }
}

TEST(AcrossRanks, EachCanTellTheOthers) {
  const auto text = [](int rank) {
    return rank == 0 ? std::string() : std::string(static_cast<size_t>(kMany), '\0') + "x";
  };
  const std::vector<std::string> all = gather(ranks(), text(ranks().rank()));
  ASSERT_EQ(std::ssize(all), ranks().size());
  for (int r = 0; r < ranks().size(); ++r) EXPECT_TRUE(all[static_cast<size_t>(r)] == text(r)) << r;
}

TEST(AcrossRanks, SharesAreAllOnceAndInOrder) {
  for (const int64_t count : {0, 1, 7}) {
    const auto [begin, end] = share_of(ranks(), count);
    std::vector<Tensor> mine;
    for (int64_t i = begin; i < end; ++i)
      mine.push_back(Tensor::full({1, 2}, static_cast<float>(i)));
    if (count == 0) {
      EXPECT_THROW(gather_rows(ranks(), mine), Error);
      continue;
    }
    const Tensor all = gather_rows(ranks(), mine);
    ASSERT_EQ(all.shape(), (Shape{count, 2}));
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(all.data<float>()[2 * i], static_cast<float>(i));
  }
}

// f32 has no 2^24 + 1.
TEST(AcrossRanks, ManyRowsAreCountedExactly) {
  const int64_t count = ranks().rank() == 0 ? (1 << 24) + 1 : 1;
  const Tensor all =
      gather_rows(ranks(), {Tensor::full({count, 1}, static_cast<float>(ranks().rank()))});
  ASSERT_EQ(all.size(0), (1 << 24) + ranks().size());
  EXPECT_EQ(all.data<float>()[1 << 24], 0);
  EXPECT_EQ(all.data<float>()[(1 << 24) + 1], 1);
}

}  // namespace
}  // namespace ocelli
