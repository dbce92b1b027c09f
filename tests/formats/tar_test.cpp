// Shards are written and read back in place; what is cut off keeps its good members.
#include "ocelli/formats/tar.h"

#include <gtest/gtest.h>

#include <fstream>

namespace ocelli {
namespace {

namespace fs = std::filesystem;

class Tar : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path make(const std::string& name) const {
    TarWriter writer(folder_ / name);
    for (int i = 0; i < 20; ++i) writer.add(fmt::format("k{:02}.bin", i), contents(i));
    writer.add(long_name_, "long");
    writer.commit();
    return folder_ / name;
  }
  static std::string contents(int i) {
    return std::string(3000 + 7 * i, static_cast<char>('a' + i));
  }

  fs::path folder_;
  const std::string long_name_ = std::string(150, 'x') + "/" + std::string(150, 'y') + ".bin";
};

TEST_F(Tar, ReadsWhatWasWrittenInAnyOrder) {
  TarArchive archive(make("a.tar"));
  ASSERT_EQ(archive.members().size(), 21u);
  EXPECT_FALSE(archive.damage());
  for (const int i : {7, 19, 0, 3})
    EXPECT_EQ(archive.read(fmt::format("k{:02}.bin", i)), contents(i));
  EXPECT_EQ(archive.read(long_name_), "long");
  EXPECT_THROW(archive.read("none"), Error);
  EXPECT_THROW(archive.read("k00.bin", 100), Error);
  EXPECT_EQ(read_file(make("b.tar")), read_file(folder_ / "a.tar"));
}

TEST_F(Tar, ReadsCompressedOnesInAnyOrder) {
  const fs::path file = make("a.tar");
  ASSERT_EQ(std::system(fmt::format("gzip '{}'", file.string()).c_str()), 0);
  TarArchive archive(file.string() + ".gz");
  for (const int i : {7, 19, 0, 3})
    EXPECT_EQ(archive.read(fmt::format("k{:02}.bin", i)), contents(i));
}

TEST_F(Tar, KeepsTheMembersBeforeACut) {
  const std::string whole = read_file(make("a.tar"));
  for (const size_t size : {whole.size() / 2, size_t{512 * 20 + 100}}) {
    write_file(folder_ / "cut.tar", whole.substr(0, size));
    TarArchive archive(folder_ / "cut.tar");
    ASSERT_TRUE(archive.damage());
    EXPECT_NE(std::string(archive.damage()->what()).find("cut.tar"), std::string::npos);
    ASSERT_FALSE(archive.members().empty());
    EXPECT_LT(archive.members().size(), 20u);
    EXPECT_EQ(archive.read("k00.bin"), contents(0));
    EXPECT_THROW(archive.read("k19.bin"), Error);
  }
  write_file(folder_ / "none.tar", "this is no archive");
  EXPECT_THROW(TarArchive(folder_ / "none.tar"), Error);
}

TEST_F(Tar, AnUnfinishedArchiveIsNotThere) {
  { TarWriter(folder_ / "a.tar").add("x", "y"); }
  EXPECT_FALSE(fs::exists(folder_ / "a.tar"));
}

TEST_F(Tar, SplitsPathsAtFilesOnly) {
  const std::string file = make("a.tar").string();
  const auto parts = split_tar_path(file + "/b/c.jpg");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->first, file);
  EXPECT_EQ(parts->second, "b/c.jpg");
  EXPECT_FALSE(split_tar_path((folder_ / "none.tar/c.jpg").string()));
  fs::create_directories(folder_ / "dir.tar");
  EXPECT_FALSE(split_tar_path((folder_ / "dir.tar/c.jpg").string()));
}

}  // namespace
}  // namespace ocelli
