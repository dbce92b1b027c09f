// The ordered pipeline: the order of the rows, what failures do to it, and that the number of
// threads changes nothing. `make tsan` runs these under ThreadSanitizer.
#include "ocelli/engine/pipeline.h"

#include <gtest/gtest.h>

#include <atomic>

#include "ocelli/base/file.h"
#include "ocelli/base/threads.h"
#include "ocelli/engine/embed.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = OCELLI_SOURCE_DIR;

class Pipeline : public testing::Test {
 protected:
  void SetUp() override { set_num_threads(4); }
  void TearDown() override {
    clear_cancel();
    set_num_threads(threads_);
  }

 private:
  const int threads_ = num_threads();
};

using Range = std::pair<int64_t, int64_t>;

std::shared_ptr<void> range_of(int64_t begin, int64_t end) {
  return std::make_shared<Range>(begin, end);
}

TEST_F(Pipeline, DeliversEachChunkOnceAndInOrder) {
  for (const int64_t n : {0, 1, 15, 16, 1000}) {
    int64_t next = 0;
    run_ordered(n, 8, range_of,
                [&](int64_t begin, int64_t end, const std::shared_ptr<void>& result) {
                  EXPECT_EQ(begin, next);
                  EXPECT_LE(end - begin, 8);
                  EXPECT_EQ(*static_cast<Range*>(result.get()), Range(begin, end));
                  next = end;
                });
    EXPECT_EQ(next, n);
  }
}

TEST_F(Pipeline, WorkersDoNotRunAwayFromASlowReader) {
  std::atomic<int64_t> finished = 0;
  int64_t delivered = 0, most = 0;
  run_ordered(
      2000, 1,
      [&](int64_t begin, int64_t end) {
        ++finished;
        return range_of(begin, end);
      },
      [&](int64_t, int64_t, const std::shared_ptr<void>&) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        most = std::max(most, finished.load() - delivered++);
      });
  EXPECT_EQ(finished, 2000);
  // Four finished chunks a worker may wait, and each may hold one more.
  EXPECT_LE(most, 4 * 4 + 2 * 4);
}

TEST_F(Pipeline, TheFirstExceptionOfEitherSideIsThrown) {
  const auto work = [](int64_t begin, int64_t end) {
    check(begin < 300, "work stopped");
    return range_of(begin, end);
  };
  const auto nothing = [](int64_t, int64_t, const std::shared_ptr<void>&) {};
  EXPECT_THROW(run_ordered(1000, 8, work, nothing), Error);
  int64_t delivered = 0;
  const auto reader = [&](int64_t, int64_t end, const std::shared_ptr<void>&) {
    delivered = end;
    check(end < 100, "reader stopped");
  };
  EXPECT_THROW(run_ordered(1000, 8, range_of, reader), Error);
  EXPECT_LT(delivered, 108);
}

TEST_F(Pipeline, CancelEndsARun) {
  try {
    run_ordered(100'000, 1, range_of, [](int64_t, int64_t end, const std::shared_ptr<void>&) {
      if (end == 50) request_cancel();
    });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
}

// Forty photographs, with two files among them that are none.
class Images : public Pipeline {
 protected:
  Images() {
    write_file(folder_ / "text.jpg", "no image");
    for (int i = 0; i < 40; ++i) {
      const char* name = i % 2 ? "coffee.png" : "rocket.jpg";
      paths_.push_back((kRoot / "examples/images" / name).string());
    }
    paths_[7] = (folder_ / "text.jpg").string();
    paths_[23] = (folder_ / "absent.jpg").string();
  }

  TempFolder folder_;
  std::vector<std::string> paths_;
  const std::shared_ptr<const OpenModel> opened_ =
      open_model((kRoot / "tests/goldens/vit_timm_token/model.safetensors").string());
};

TEST_F(Images, BadOnesAreNamedAndTheOthersStayInOrder) {
  const ImageEmbeddings found = embed_images(*opened_, paths_, {});
  ASSERT_EQ(found.errors.size(), 2u);
  EXPECT_EQ(found.errors[0].index, 7);
  EXPECT_EQ(found.errors[0].error.code(), ErrorCode::corrupt_data);
  EXPECT_EQ(found.errors[1].index, 23);
  EXPECT_EQ(found.errors[1].error.code(), ErrorCode::not_found);
  EXPECT_EQ(found.images.size(), 38u);
  EXPECT_TRUE(std::ranges::is_sorted(found.images));
}

TEST_F(Images, StrictStopsAtTheFirst) {
  EXPECT_THROW(embed_images(*opened_, paths_, {.strict = true}), Error);
}

TEST_F(Images, RowsDoNotDependOnTheNumberOfThreads) {
  const ImageEmbeddings four = embed_images(*opened_, paths_, {});
  set_num_threads(1);
  const ImageEmbeddings one = embed_images(*opened_, paths_, {.batch = 1});
  EXPECT_EQ(four.images, one.images);
  ASSERT_EQ(four.rows.shape(), one.rows.shape());
  for (int64_t i = 0; i < one.rows.numel(); ++i) {
    EXPECT_NEAR(four.rows.data<float>()[i], one.rows.data<float>()[i], 1e-6);
  }
}

TEST(ImageSize, IsANumberOrHeightByWidth) {
  using Size = std::array<int64_t, 2>;
  EXPECT_EQ(parse_size("384"), (Size{384, 384}));
  EXPECT_EQ(parse_size("24x56"), (Size{24, 56}));
  for (const char* wrong :
       {"", "x", "24x", "x56", "0", "24x0", "-1", "24x56x8", "24 x 56", "70000"}) {
    EXPECT_THROW(parse_size(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace ocelli
