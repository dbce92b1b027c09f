#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/base/journal.h"
#include "ocelli/base/mapped_file.h"
#include "ocelli/base/nearest_name.h"
#include "ocelli/base/progress.h"
#include "ocelli/base/rng.h"
#include "ocelli/base/shape.h"
#include "ocelli/base/threads.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

ErrorCode code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::internal;
}

TEST(Error, TableHasOneEntryACode) {
  for (ErrorCode code : {ErrorCode::invalid_argument, ErrorCode::not_found, ErrorCode::corrupt_data,
                         ErrorCode::unsupported, ErrorCode::out_of_memory, ErrorCode::cancelled,
                         ErrorCode::io, ErrorCode::internal}) {
    EXPECT_EQ(error_info(code).code, code);
    EXPECT_NE(error_info(code).exit_status, 0);
  }
}

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ((Shape{2, 197, 768}).numel(), 2 * 197 * 768);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ((Shape{2, 3}).str(), "[2, 3]");
  EXPECT_EQ((Shape{2, 3})[-1], 3);
  EXPECT_EQ(contiguous_strides({2, 3, 4}), (Shape{12, 4, 1}));
  EXPECT_EQ(contiguous_strides({0, int64_t{1} << 40, int64_t{1} << 40}),
            (Shape{0, int64_t{1} << 40, 1}));
}

TEST(Shape, RefusesOverflowAndNegative) {
  EXPECT_EQ(code_of([] {
              (void)Shape{int64_t{1} << 40, int64_t{1} << 40}.numel();
            }),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([] { Shape{-1}; }), ErrorCode::invalid_argument);
}

TEST(Threads, ParallelForCoversEachIndexOnce) {
  for (int64_t n : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
    parallel_for(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
    });
    for (auto& hit : hits) EXPECT_EQ(hit, 1);
  }
}

TEST(Threads, CallersAtTheSameTimeAllGetTheirWorkDone) {
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int k = 0; k < 4; ++k) {
    callers.emplace_back([&] {
      set_num_threads(3);
      for (int i = 0; i < 200; ++i) {
        parallel_for(50, 1, [&](int64_t begin, int64_t end) {
          // A parallel_for inside a body runs on the thread it is called from.
          parallel_for(end - begin, 1, [&](int64_t from, int64_t to) { sum += to - from; });
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 50);
}

TEST(Threads, WorkGoesOnAfterAPause) {
  set_num_threads(4);
  for (int i = 0; i < 5; ++i) {
    std::atomic<int64_t> sum = 0;
    parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    EXPECT_EQ(sum, 100);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the team sleeps
  }
}

TEST(Threads, ParallelForHandsTheErrorOn) {
  EXPECT_EQ(
      code_of([] { parallel_for(100, 1, [](int64_t, int64_t) { fail(ErrorCode::io, "no"); }); }),
      ErrorCode::io);
}

TEST(File, AtomicWriteLeavesNothingWithoutCommit) {
  const TempFolder temp;
  const fs::path folder = temp.path();
  { AtomicFile(folder / "a").write("half"); }
  EXPECT_TRUE(fs::is_empty(folder));
  write_file(folder / "a", "whole");
  EXPECT_EQ(read_file(folder / "a"), "whole");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
  EXPECT_EQ(code_of([&] { read_file(folder / "a", 2); }), ErrorCode::corrupt_data);
  EXPECT_EQ(code_of([&] { read_file(folder / "b"); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { write_file(folder / "no" / "a", ""); }), ErrorCode::io);
}

TEST(File, FullDiskIsAnIoErrorNamingThePath) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "/dev/full is missing";
  const TempFolder temp;
  EXPECT_EQ(code_of([&] { write_file("/dev/full", "x"); }), ErrorCode::io);
  EXPECT_EQ(code_of([&] { write_file(temp.path(), "x"); }), ErrorCode::io);
}

TEST(File, DevicesAreWrittenAndLinksFollowed) {
  const TempFolder temp;
  write_file("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  write_file(temp / "file", "old");
  fs::create_symlink("file", temp / "link");
  write_file(temp / "link", "new");
  EXPECT_TRUE(fs::is_symlink(temp / "link"));
  EXPECT_EQ(read_file(temp / "file"), "new");
}

TEST(File, NothingIsSeenBeforeTheCommit) {
  const TempFolder temp;
  AtomicFile file(temp / "a");
  file.write("half");
  EXPECT_FALSE(fs::exists(temp / "a"));
  file.write_at(0, "H");
  file.commit();
  EXPECT_EQ(read_file(temp / "a"), "Half");
}

TEST(MappedFile, RefusesDevicesAndMissingFiles) {
  const TempFolder temp;
  if (fs::exists("/dev/full")) {
    EXPECT_EQ(code_of([&] { MappedFile map("/dev/full"); }), ErrorCode::invalid_argument);
  }
  EXPECT_EQ(code_of([&] { MappedFile map(temp / "none"); }), ErrorCode::not_found);
}

TEST(MappedFile, MapsAndReleasesPages) {
  const TempFolder temp;
  const fs::path path = temp / "map";
  write_file(path, std::string(100000, 'x'));
  MappedFile map(path);
  ASSERT_EQ(map.size(), 100000u);
  release_mapped_pages(map.data(), map.size());
  EXPECT_EQ(static_cast<char>(map.data()[99999]), 'x');
  write_file(path, "");
  EXPECT_EQ(MappedFile(path).size(), 0u);
}

// Known answers of Random123's kat_vectors for philox4x32-10.
TEST(Rng, PhiloxKnownAnswers) {
  Rng rng(0);
  EXPECT_EQ(rng.next_u32(), 0x6627e8d5u);
  EXPECT_EQ(rng.next_u32(), 0xe169c58du);
  EXPECT_EQ(rng.next_u32(), 0xbc57ac4cu);
  EXPECT_EQ(rng.next_u32(), 0x9b00dbd8u);
}

TEST(Rng, NormalHasMeanZeroVarianceOne) {
  Rng rng(7);
  double sum = 0, squares = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 0.02);
  EXPECT_NEAR(squares / n, 1, 0.02);
  for (int i = 0; i < 1000; ++i) EXPECT_LE(std::abs(rng.truncated_normal()), 2.0f);
}

TEST(Progress, CancelThrows) {
  throw_if_cancelled();
  EXPECT_TRUE(request_cancel());
  EXPECT_FALSE(request_cancel());
  {
    const HoldCancel hold;
    EXPECT_NO_THROW(throw_if_cancelled());
    EXPECT_TRUE(hold.requested());
  }
  EXPECT_EQ(code_of([] { throw_if_cancelled(); }), ErrorCode::cancelled);
  clear_cancel();
}

TEST(Journal, CutsOffHalfALine) {
  const TempFolder folder;
  const fs::path file = folder / "journal";
  { Journal(file).append("one\ntwo\n"); }
  { Journal(file).append("thr"); }
  {
    Journal again(file);
    EXPECT_EQ(again.lines(), (std::vector<std::string>{"one", "two"}));
    again.append("three\n");
  }
  EXPECT_EQ(read_file(file), "one\ntwo\nthree\n");
}

TEST(Journal, KeepsTheFirstLines) {
  const TempFolder folder;
  const fs::path file = folder / "journal";
  write_file(file, "one\n\nthree\nfour\n");
  Journal journal(file);
  journal.keep(7);
  EXPECT_EQ(journal.lines().size(), 4u);
  journal.keep(2);
  journal.append("again\n");
  EXPECT_EQ(read_file(file), "one\n\nagain\n");
}

TEST(NearestName, HasTheFewestChanges) {
  const std::string names[] = {"loss", "optimizer.lr", "schedule.last"};
  EXPECT_EQ(nearest_name("los", names), "loss");
  EXPECT_EQ(nearest_name("lr", names), "optimizer.lr");
  EXPECT_EQ(nearest_name("schedule.lst", names), "schedule.last");
  EXPECT_EQ(nearest_name("optimiser.lr", names), "optimizer.lr");
  EXPECT_EQ(nearest_name("anything", {}), "");
}

}  // namespace
}  // namespace ocelli
