#include "ocelli/data/image_list.h"

#include <gtest/gtest.h>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {
namespace fs = std::filesystem;

using Strings = std::vector<std::string>;
using Numbers = std::vector<int64_t>;

class ImageListTest : public testing::Test {
 protected:
  void image(const std::string& name) {
    fs::create_directories((folder_ / name).parent_path());
    write_file(folder_ / name, "");
  }
  ImageList table(const std::string& text) {
    write_file(folder_ / "table.csv", text);
    return read_image_list((folder_ / "table.csv").string());
  }
  CaptionedImages captions(const std::string& text) {
    return std::get<CaptionedImages>(table(text));
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  TempFolder folder_;
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(ImageListTest, FoldersAreClasses) {
  for (const char* name : {"great_owl/a.png", "dog/b.png", "dog/sub/c.jpg"}) image(name);
  const auto images = std::get<ClassImages>(read_image_list(folder_.path().string()));
  EXPECT_EQ(images.classes, (Strings{"dog", "great owl"}));
  EXPECT_EQ(images.class_of, (Numbers{0, 0, 1}));
  EXPECT_EQ(images.paths, (Strings{at("dog/b.png"), at("dog/sub/c.jpg"), at("great_owl/a.png")}));
}

TEST_F(ImageListTest, CaptionsUnderAHeader) {
  image("images/a.jpg");
  image("b.jpg");
  const auto data = captions("n,caption,image\n0,A dog,a.jpg\n1,\"A cat, too\",a.jpg\n0,x,b.jpg\n");
  EXPECT_EQ(data.paths, (Strings{at("images/a.jpg"), at("b.jpg")}));
  EXPECT_EQ(data.captions, (Strings{"A dog", "A cat, too", "x"}));
  EXPECT_EQ(data.image_of, (Numbers{0, 0, 1}));
}

TEST_F(ImageListTest, CaptionsWithoutAHeader) {
  image("a.jpg");
  const auto data = captions("a.jpg#0\tA dog\na.jpg#1\tA cat\nmissing.jpg\tNothing\n");
  EXPECT_EQ(data.captions, (Strings{"A dog", "A cat", "Nothing"}));
  EXPECT_EQ(data.paths, (Strings{at("a.jpg"), at("missing.jpg")}));
  EXPECT_EQ(data.image_of, (Numbers{0, 0, 1}));
}

TEST_F(ImageListTest, LabelsUnderAHeader) {
  const auto data =
      std::get<ClassImages>(table("path,label\na.jpg,dog\nb.jpg,cat\nc.jpg,dog\na.jpg,cat\n"));
  EXPECT_EQ(data.classes, (Strings{"cat", "dog"}));
  EXPECT_EQ(data.class_of, (Numbers{1, 0, 1, 0}));
  EXPECT_EQ(data.paths, (Strings{at("a.jpg"), at("b.jpg"), at("c.jpg"), at("a.jpg")}));
}

TEST_F(ImageListTest, TablesThatAreNone) {
  EXPECT_NE(message_of([&] { table(""); }).find("is empty"), std::string::npos);
  EXPECT_NE(message_of([&] { table("image,caption\n"); }).find("no rows"), std::string::npos);
  EXPECT_NE(message_of([&] { table("image,caption\na.jpg\n"); }).find("row 2 has 1 field,"),
            std::string::npos);
  EXPECT_NE(message_of([&] { read_image_list(at("none.csv")); }).find("none.csv"),
            std::string::npos);
  EXPECT_NE(message_of([&] { read_image_list(folder_.path().string()); }).find("no sub-folders"),
            std::string::npos);
}

TEST_F(ImageListTest, AFolderMayHaveImagesToTestOn) {
  const auto of = [&](const std::string& test = {}) {
    const auto [train, tested] = train_and_test(at("photos"), test);
    return Strings{train, tested};
  };
  image("photos/train/dog/a.png");
  EXPECT_EQ(of(), (Strings{at("photos"), ""}));  // a class called train
  image("photos/test/dog/b.png");
  EXPECT_EQ(of(), (Strings{at("photos/train"), at("photos/test")}));
  image("photos/val/dog/c.png");
  EXPECT_EQ(of(), (Strings{at("photos/train"), at("photos/val")}));
  EXPECT_EQ(of("others"), (Strings{at("photos/train"), "others"}));
}

TEST(MatchClasses, ByNameSynonymOrIndex) {
  const Strings labels = {"tench, Tinca tinca", "Great White", "owl"};
  EXPECT_EQ(match_classes({{}, {}, {"great_white", "owl", "tinca tinca"}}, labels),
            (Numbers{1, 2, 0}));
  EXPECT_EQ(match_classes({{}, {}, {"0", "2"}}, labels), (Numbers{0, 2}));
  EXPECT_EQ(match_classes({{}, {}, {"7", "12345"}}, {}), (Numbers{7, 12345}));
}

TEST(MatchClasses, ByOrderOnlyWhenNoneFits) {
  const Strings labels = {"tench", "shark", "owl"};
  EXPECT_EQ(match_classes({{}, {}, {"n01", "n02", "n03"}}, labels), (Numbers{0, 1, 2}));
  for (const Strings& classes : {Strings{"n01", "owl", "tench"}, Strings{"n01", "n02"}}) {
    const std::string message = message_of([&] { match_classes({{}, {}, classes}, labels); });
    EXPECT_NE(message.find("'n01' is none of the model's 3"), std::string::npos) << message;
  }
}

TEST(MatchClasses, NamesNeedAModelWithNames) {
  const std::string message = message_of([] { match_classes({{}, {}, {"dog"}}, {}); });
  EXPECT_EQ(message, "the class 'dog' is no index, and the model has no names for its classes");
}

}  // namespace
}  // namespace ocelli
