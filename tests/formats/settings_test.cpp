#include "ocelli/formats/settings.h"

#include <gtest/gtest.h>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

struct Fields {
  bool flag = false;
  int64_t count = 3;
  uint64_t seed = 0;
  float near = 0.9f;
  double rate = 1e-3;
  std::string name = "adamw", title;
  std::vector<int64_t> sizes = {1, 2};
  std::vector<std::string> words;

  std::vector<Setting> settings() {
    return {{"flag", &flag},
            {"count", &count, 1, 10},
            {"optimizer.seed", &seed, 0, 1e15},
            {"optimizer.near", &near, 0, 1},
            {"optimizer.rate", &rate, 0, 1},
            {"optimizer.name", &name, 0, 0, {"adamw", "sgd"}},
            {"text.title", &title},
            {"text.sizes", &sizes, 1, 9},
            {"text.words", &words}};
  }
};

std::string complaint(const std::string& assignment) {
  Fields fields;
  try {
    override_setting(fields.settings(), assignment);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Settings, OverrideEachKind) {
  Fields f;
  for (const char* assignment :
       {"flag=true", "count=7", "optimizer.seed=900000000000000", "optimizer.near=0.25",
        "optimizer.rate=1e-4", "optimizer.name=sgd", "text.title='a \"b\" = c'",
        "text.sizes=[4, 5]", "text.words=['x', \"\u00e9\"]"}) {
    override_setting(f.settings(), assignment);
  }
  EXPECT_TRUE(f.flag);
  EXPECT_EQ(f.count, 7);
  EXPECT_EQ(f.seed, 900000000000000u);
  EXPECT_EQ(f.near, 0.25f);
  EXPECT_EQ(f.rate, 1e-4);
  EXPECT_EQ(f.name, "sgd");
  EXPECT_EQ(f.title, "a \"b\" = c");
  EXPECT_EQ(f.sizes, (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(f.words, (std::vector<std::string>{"x", "\u00e9"}));
  override_setting(f.settings(), "text.title=runs/a b #1");  // a text needs no quotes
  EXPECT_EQ(f.title, "runs/a b #1");
}

TEST(Settings, AreTheSameAfterWritingAndReading) {
  Fields f{
      .rate = 0.1 + 0.2, .title = "two\nlines, a \\ and 'both' \"quotes\"", .words = {"\u00e9"}};
  const std::string text = settings_text(f.settings());
  Fields again;
  read_settings(again.settings(), text, "config.toml");
  EXPECT_EQ(again.rate, f.rate);
  EXPECT_EQ(again.title, f.title);
  EXPECT_EQ(again.words, f.words);
  EXPECT_EQ(settings_text(again.settings()), text);
  EXPECT_NE(text.find("near = 0.9\n"), std::string::npos) << text;
}

TEST(Settings, TakeLettersBeyondAscii) {
  Fields f;
  read_settings(f.settings(), "[text]\ntitle = 'gr\u00f6\u00dfer @ home'  # \u00e4\n", "f");
  EXPECT_EQ(f.title, "gr\u00f6\u00dfer @ home");
  override_setting(f.settings(), "text.title=\u00fc@c3");
  EXPECT_EQ(f.title, "\u00fc@c3");
  EXPECT_EQ(complaint("text.t\u00fctle=1"),
            "--set text.t\u00fctle=1: there is no key 'text.t\u00fctle'; did you mean text.title?");
  EXPECT_NE(complaint("text.title='\\u0040'"), "");
  // Once undefined behaviour of toml++.
  EXPECT_NE(complaint("text.words=0x[\"a\u00e4\u07de\""), "");
}

TEST(Settings, NameTheNearestKey) {
  EXPECT_EQ(complaint("optimizer.rte=1"),
            "--set optimizer.rte=1: there is no key 'optimizer.rte'; did you mean optimizer.rate?");
  EXPECT_EQ(complaint("seed=1"),
            "--set seed=1: there is no key 'seed'; did you mean optimizer.seed?");
}

TEST(Settings, RefuseOtherValues) {
  EXPECT_EQ(complaint("count=0"), "--set count=0: count takes a whole number from 1 to 10");
  EXPECT_EQ(complaint("count=1.5"), "--set count=1.5: count takes a whole number from 1 to 10");
  EXPECT_EQ(complaint("optimizer.rate=nan"),
            "--set optimizer.rate=nan: optimizer.rate takes a number from 0 to 1");
  EXPECT_EQ(complaint("flag=1"), "--set flag=1: flag takes true or false");
  EXPECT_EQ(complaint("optimizer.name=adam"),
            "--set optimizer.name=adam: optimizer.name takes one of adamw, sgd");
  EXPECT_EQ(complaint("text.words=3"), "--set text.words=3: text.words takes a list of texts");
  EXPECT_EQ(complaint("count"), "--set count: 'key=value' is needed");
  EXPECT_NE(complaint("count=]"), "");
  EXPECT_NE(complaint("count=1\nflag=true"), "");
}

}  // namespace
}  // namespace ocelli
