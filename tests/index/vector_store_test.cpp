#include "ocelli/index/vector_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "ocelli/base/file.h"
#include "tests/index/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWidth = 24;

// Row i of every store here.
std::vector<float> row(int64_t i) {
  std::vector<float> values(kWidth);
  for (int64_t d = 0; d < kWidth; ++d) values[d] = static_cast<float>((i * 31 + d) % 2048);
  return values;
}

void add(VectorWriter& writer, int64_t count) {
  for (int64_t i = 0; i < count; ++i) writer.append(row(writer.rows()).data());
  writer.commit();
}

void expect_rows(const fs::path& folder, int64_t count) {
  const VectorStore store(folder);
  ASSERT_EQ(store.rows().count, count);
  EXPECT_TRUE(store.damaged().empty());
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t d = 0; d < kWidth; ++d) ASSERT_EQ(to_float(store.rows().row(i)[d]), row(i)[d]);
  }
}

std::string message(const fs::path& folder) {
  try {
    const VectorStore store(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(VectorStore, RowsAreThereOnceCommitted) {
  const TempFolder folder;
  VectorWriter writer(folder / "s", kWidth);
  expect_rows(folder / "s", 0);
  add(writer, 10);
  const VectorStore early(folder / "s");
  add(writer, 7);
  writer.append(row(17).data());
  expect_rows(folder / "s", 17);
  EXPECT_EQ(early.rows().count, 10);
}

TEST(VectorStore, AWriterGoesOnAfterTheLastCommit) {
  const TempFolder folder;
  {
    VectorWriter writer(folder / "s", kWidth);
    add(writer, 5);
    for (int64_t i = 0; i < 60000; ++i) writer.append(row(9).data());  // written, never committed
  }
  VectorWriter writer(folder / "s", kWidth);
  EXPECT_EQ(writer.rows(), 5);
  add(writer, 3);
  expect_rows(folder / "s", 8);
  writer.truncate(5);
  expect_rows(folder / "s", 5);
  EXPECT_THROW(writer.truncate(3), Error);
}

TEST(VectorStore, KilledAtAnyMomentItHoldsWholeCommits) {
  Rng rng(7);
  for (int round = 0; round < 25; ++round) {
    const TempFolder folder;
    const pid_t child = ::fork();
    if (child == 0) {
      VectorWriter writer(folder / "s", kWidth);
      for (;;) add(writer, 10);
    }
    ::usleep(rng.next_u32() % 20000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    VectorWriter writer(folder / "s", kWidth);
    EXPECT_EQ(writer.rows() % 10, 0);
    expect_rows(folder / "s", writer.rows());
    const int64_t before = writer.rows();
    add(writer, 10);
    expect_rows(folder / "s", before + 10);
  }
}

TEST(VectorStore, DamagedSegmentsAreNamed) {
  const TempFolder folder;
  {
    VectorWriter writer(folder / "s", kWidth);
    for (int i = 0; i < 4; ++i) add(writer, 10);
  }
  change_byte(folder / "s/vectors.f16", 4096 + 2 * kWidth * 25);
  const auto damaged = VectorStore(folder / "s").damaged();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].first, 20);
  EXPECT_EQ(damaged[0].count, 10);
}

TEST(VectorStore, WhatIsNoStoreIsRefusedByName) {
  const TempFolder folder;
  EXPECT_NE(message(folder / "absent").find("absent"), std::string::npos);
  {
    VectorWriter writer(folder / "s", kWidth);
    for (int i = 0; i < 3; ++i) add(writer, 10);
  }
  EXPECT_THROW(VectorWriter(folder / "s", kWidth + 1), Error);
  change_byte(folder / "s/segments", 33);
  EXPECT_NE(message(folder / "s").find("segments: the record of segment 1 is damaged"),
            std::string::npos);
  change_byte(folder / "s/segments", 33);
  fs::resize_file(folder / "s/vectors.f16", 4096 + 2 * kWidth * 29);
  EXPECT_NE(message(folder / "s").find("holds 29 rows of the 30"), std::string::npos);
  change_byte(folder / "s/vectors.f16", 0);
  EXPECT_NE(message(folder / "s").find("vectors.f16: not a store of vectors"), std::string::npos);
}

// What a power cut between two writes of the record leaves.
TEST(VectorStore, ATornRecordAtTheEndIsNoCommit) {
  const TempFolder folder;
  {
    VectorWriter writer(folder / "s", kWidth);
    add(writer, 10);
    add(writer, 10);
  }
  fs::resize_file(folder / "s/segments", 50);
  expect_rows(folder / "s", 10);
  fs::resize_file(folder / "s/segments", 64);  // the rest is zeros
  expect_rows(folder / "s", 10);
}

}  // namespace
}  // namespace ocelli
