// Every folder of tests/text/data is a small tokenizer as its library saved it, with the ids that
// the library gives for strings.json (tools/goldens/text.py). Each must give the same here.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "ocelli/base/file.h"
#include "ocelli/text/tokenizer.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

const fs::path kData = fs::path(OCELLI_SOURCE_DIR) / "tests/text/data";
const fs::path kOpenAi = fs::path(OCELLI_SOURCE_DIR) / "../shared/weights/clip-tokenizer";

const Json& strings() {
  static const Json kStrings = Json::parse(read_file(kData / "strings.json"));
  return kStrings;
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kData)) {
    if (fs::exists(entry.path() / "expected.json")) names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

Ids row(const Tensor& t, int64_t b) {
  const auto values = t.values<int32_t>().subspan(b * t.size(1), t.size(1));
  return {values.begin(), values.end()};
}

void expect_ids(const Tokenizer& tokenizer, const Json& expected) {
  ASSERT_EQ(expected.size(), strings()["strings"].size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto text = strings()["strings"][i].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), expected[i].get<Ids>()) << strings()["strings"][i];
  }
}

class Reference : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    tokenizer_ = open_tokenizer(kData / GetParam());
    expected_ = Json::parse(read_file(kData / GetParam() / "expected.json"));
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
  Json expected_;
};

TEST_P(Reference, EncodesTheSame) {
  expect_ids(*tokenizer_, expected_["encode"]);
}

TEST_P(Reference, PadsAndTruncatesTheSame) {
  const auto texts = strings()["batch"].get<std::vector<std::string>>();
  const auto length = strings()["length"].get<int64_t>();
  BatchOptions options;
  options.context_length = length;
  const TokenBatch batch = tokenizer_->encode_batch(texts, options);
  ASSERT_EQ(batch.ids.shape(), (Shape{static_cast<int64_t>(texts.size()), length}));
  const Json& expected = expected_["batch"];
  for (size_t b = 0; b < texts.size(); ++b) {
    EXPECT_EQ(row(batch.ids, b), expected["ids"][b].get<Ids>()) << texts[b];
    if (expected.contains("mask")) {
      EXPECT_EQ(row(batch.mask, b), expected["mask"][b].get<Ids>()) << texts[b];
    }
  }
  EXPECT_EQ(batch.truncated, 1);
}

TEST_P(Reference, DecodesTheSame) {
  for (size_t i = 0; i < expected_["decode"].size(); ++i) {
    const auto ids = expected_["encode"][i].get<Ids>();
    EXPECT_EQ(tokenizer_->decode(ids, true), expected_["decode"][i][0]) << strings()["strings"][i];
    EXPECT_EQ(tokenizer_->decode(ids, false), expected_["decode"][i][1]) << strings()["strings"][i];
  }
}

TEST_P(Reference, IsTheSameFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] { expect_ids(*tokenizer_, expected_["encode"]); });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Case, Reference, testing::ValuesIn(cases()),
                         [](const auto& c) { return c.param; });

// OpenAI's own vocabulary lies in ../shared; its ids are in clip_tokens.json.
class OpenAi : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kOpenAi)) GTEST_SKIP() << "../shared/weights/clip-tokenizer is absent";
    expected_ = Json::parse(read_file(kData / "clip_tokens.json"));
  }
  Json expected_;
};

TEST_F(OpenAi, EncodesLikeTransformers) {
  expect_ids(*open_tokenizer(kOpenAi), expected_["transformers"]);
  const TempFolder old;
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    fs::copy_file(kOpenAi / name, old / name);
  }
  expect_ids(*open_tokenizer(old.path()), expected_["transformers"]);
}

TEST_F(OpenAi, EncodesLikeOpenClip) {
  const TempFolder archive, files;
  fs::copy_file(kOpenAi / "bpe_simple_vocab_16e6.txt.gz", archive / "bpe_simple_vocab_16e6.txt.gz");
  fs::copy_file(kOpenAi / "tokenizer.json", files / "tokenizer.json");
  write_file(files / "open_clip_config.json", R"({"model_cfg":{"text_cfg":{}}})");
  Json expected = expected_["open_clip"];
  for (Json& ids : expected) {
    ids.insert(ids.begin(), 49406);
    ids.push_back(49407);
  }
  for (const TempFolder* folder : {&archive, &files}) {
    const auto tokenizer = open_tokenizer(folder->path());
    expect_ids(*tokenizer, expected);
    auto texts = strings()["batch"].get<std::vector<std::string>>();
    std::string dogs;
    for (int i = 0; i < 90; ++i) dogs += "dog ";
    texts.push_back(dogs);
    const TokenBatch batch = tokenizer->encode_batch(texts);
    for (size_t b = 0; b < texts.size(); ++b) {
      EXPECT_EQ(row(batch.ids, b), expected_["open_clip_batch"][b].get<Ids>()) << texts[b];
    }
  }
}

TEST_F(OpenAi, PadsAndTruncatesLikeTransformers) {
  std::string dogs = "dog";
  for (int i = 1; i < 90; ++i) dogs += " dog";
  const auto tokenizer = open_tokenizer(kOpenAi);
  const std::vector<std::string> texts = {"a cat", dogs};
  const TokenBatch batch = tokenizer->encode_batch(texts);
  EXPECT_EQ(batch.ids.shape(), (Shape{2, 77}));
  EXPECT_EQ(batch.truncated, 1);
  for (int b = 0; b < 2; ++b) EXPECT_EQ(row(batch.ids, b), expected_["padded"][b].get<Ids>());
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("A photo of  a cat")), "a photo of a cat");
}

}  // namespace
}  // namespace ocelli
