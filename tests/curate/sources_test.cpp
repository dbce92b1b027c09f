// What goes in: tables; what outlives a kill; borders; the views of the report.
#include "ocelli/curate/sources.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "ocelli/base/file.h"
#include "ocelli/base/rng.h"
#include "ocelli/curate/borders.h"
#include "ocelli/curate/multi_crop.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

// Of this process: tests run side by side.
std::string path(const std::string& name) {
  return fmt::format("{}sources_{}/{}", testing::TempDir(), ::getpid(), name);
}

std::vector<Source> sources_of(const std::string& name, const std::string& text) {
  const std::string file = path(name);
  const struct Folder {
    Folder() { fs::create_directories(path("")); }
    ~Folder() { fs::remove_all(path("")); }
  } folder;
  write_file(file, text);
  std::istringstream nothing;
  return list_sources({&file, 1}, nothing);
}

TEST(Sources, ReadsTables) {
  const auto lines = sources_of(
      "s.jsonl", "\"a.jpg\"\n\n{\"path\": \"b.jpg\", \"caption\": \"two\"}\n\"a.jpg\"\n");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].path, path("a.jpg"));
  EXPECT_EQ(lines[1].caption, "two");
  const auto named = sources_of("s.csv", "caption,file\n\"one, two\",/x/a.jpg\n");
  ASSERT_EQ(named.size(), 1u);
  EXPECT_EQ(named[0].path, "/x/a.jpg");
  EXPECT_EQ(named[0].caption, "one, two");
  const auto bare = sources_of("s.csv", "a.jpg\nb.jpg\n");
  ASSERT_EQ(bare.size(), 2u);
  EXPECT_EQ(bare[1].path, path("b.jpg"));
  EXPECT_EQ(bare[1].caption, "");
}

TEST(Sources, NamesTheLineThatIsNoImage) {
  for (const char* text : {"\"a.jpg\"\n{\"caption\": 3}\n", "\"a.jpg\"\nnot json\n",
                           "\"a.jpg\"\n{\"path\": 1}\n", "\"a.jpg\"\n\"\"\n"}) {
    try {
      sources_of("s.jsonl", text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(sources_of("s.csv", ""), Error);
  EXPECT_THROW(sources_of("s.csv", "path,caption\n,x\n"), Error);
}

// Noise, with bars of grey above and below that have some dots on them.
Image framed(int64_t height, int64_t width, int64_t bar) {
  Image image{Tensor::empty({height, width, 3}, DType::u8), "made"};
  Rng rng(3);
  auto* p = image.pixels.data<uint8_t>();
  for (int64_t y = 0; y < height; ++y) {
    const bool border = y < bar || y >= height - bar;
    for (int64_t i = 0; i < width * 3; ++i) {
      const auto noise = static_cast<uint8_t>(rng.next_u32());
      *p++ = border && i % 24 != 0 ? 200 : noise;
    }
  }
  return image;
}

TEST(Borders, AreTakenOff) {
  EXPECT_EQ(share_without_borders(framed(200, 200, 0)), 1);
  EXPECT_NEAR(share_without_borders(framed(200, 200, 50)), 0.5, 0.02);
  EXPECT_NEAR(share_without_borders(framed(900, 600, 90)), 0.8, 0.02);
  EXPECT_EQ(share_without_borders(framed(200, 200, 100)), 1);  // nothing but border
}

TEST(MultiCrop, MakesGlobalAndLocalViews) {
  const Image image = framed(120, 200, 0);
  const auto views = multi_crop(image, 5);
  ASSERT_EQ(views.size(), 10u);
  for (size_t i = 0; i < views.size(); ++i) {
    EXPECT_EQ(views[i].height(), i < 2 ? 224 : 98);
    EXPECT_EQ(views[i].width(), i < 2 ? 224 : 98);
  }
  const auto same = [](const Image& a, const Image& b) {
    return std::ranges::equal(a.pixels.values<uint8_t>(), b.pixels.values<uint8_t>());
  };
  EXPECT_TRUE(same(views[9], multi_crop(image, 5)[9]));
  EXPECT_FALSE(same(views[9], multi_crop(image, 6)[9]));
  EXPECT_EQ(multi_crop(framed(1, 300, 0), 1).size(), 10u);
}

}  // namespace
}  // namespace ocelli
