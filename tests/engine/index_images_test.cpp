// Indexing while the files change, with the golden of timm's ViT.
#include "ocelli/engine/index_images.h"

#include <gtest/gtest.h>

#include <sstream>

#include "ocelli/base/file.h"
#include "ocelli/base/threads.h"
#include "ocelli/hub/digest.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

// A photograph of one colour, 20 x 20.
void write_photo(const fs::path& path, int shade) {
  std::string pixels;
  for (int i = 0; i < 20 * 20 * 3; ++i) pixels += static_cast<char>(i * shade % 256);
  write_file(path, "P6 20 20 255\n" + pixels);
}

class IndexImages : public testing::Test {
 protected:
  void SetUp() override {
    set_num_threads(1);
    opened_ = open_model(fs::path(OCELLI_SOURCE_DIR) / "tests/goldens/vit_timm_token");
    fs::create_directory(folder_ / "photos");
    for (int i = 0; i < 10; ++i) write_photo(photo(i), i + 1);
  }
  void TearDown() override { set_num_threads(threads_); }

  fs::path photo(int i) const { return folder_ / "photos" / fmt::format("{}.ppm", i); }

  IndexUpdate update(const Progress& progress = {}) {
    IndexWriter writer(folder_ / "i", state_for(*opened_, ""));
    const std::string photos = folder_ / "photos";
    std::istringstream none;
    return index_images(writer, *opened_, {&photos, 1}, none,
                        {.run = {.batch = 2, .progress = progress}});
  }

  const int threads_ = num_threads();
  const TempFolder folder_;
  std::shared_ptr<const OpenModel> opened_;
};

TEST_F(IndexImages, AFileThatVanishesMeanwhileIsNoImage) {
  const IndexUpdate first = update([&](int64_t done, int64_t) {
    if (done == 2) fs::remove(photo(9));
  });
  EXPECT_EQ(first.added, 9);
  ASSERT_EQ(first.errors.size(), 1u);
  EXPECT_EQ(first.errors[0].error.code(), ErrorCode::not_found);
  EXPECT_EQ(ImageIndex(folder_ / "i").catalogue().failed(), 0);
  const IndexUpdate second = update();
  EXPECT_EQ(second.unchanged, 9);
  EXPECT_TRUE(second.errors.empty());
}

// The checksum is of the bytes that were embedded, so another time alone is no change.
TEST_F(IndexImages, AFileThatChangesMeanwhileIsEmbeddedAsItWasRead) {
  update([&](int64_t done, int64_t) {
    if (done != 2) return;
    write_photo(photo(8), 99);
    write_file(photo(9), "P6 20 20 255\ncut");
  });
  const ImageIndex between(folder_ / "i");
  EXPECT_EQ(between.catalogue().failed(), 1);
  const auto record = between.catalogue().find_path(photo(8).string());
  EXPECT_EQ(record.value().sha256, hub::digest_of(photo(8), record->sha256));
  const IndexUpdate second = update();
  EXPECT_EQ(second.unchanged, 9);
  EXPECT_EQ(second.changed, 0);
  ASSERT_EQ(second.errors.size(), 1u);
  write_photo(photo(9), 50);
  const IndexUpdate third = update();
  EXPECT_EQ(third.changed, 1);
  EXPECT_EQ(third.unchanged, 9);
  EXPECT_EQ(ImageIndex(folder_ / "i").catalogue().failed(), 0);
}

TEST_F(IndexImages, WhatWasDoneBeforeACancelStays) {
  EXPECT_THROW(update([](int64_t done, int64_t) {
                 if (done == 4) request_cancel();
               }),
               Error);
  clear_cancel();
  EXPECT_EQ(ImageIndex(folder_ / "i").catalogue().count(), 4);
  EXPECT_EQ(update().added, 6);
}

}  // namespace
}  // namespace ocelli
