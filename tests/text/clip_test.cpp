// Token for token with transformers (tools/goldens/text.py); the vocabulary is OpenAI's, in ../shared.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/text/clip_bpe.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {
namespace fs = std::filesystem;

const fs::path kFolder = fs::path(OCELLI_SOURCE_DIR) / "../shared/weights/clip-tokenizer";

class ClipTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kFolder)) GTEST_SKIP() << "../shared/weights/clip-tokenizer is absent";
    tokenizer_ = open_tokenizer(kFolder);
    expected_ = nlohmann::json::parse(read_file(fs::path(OCELLI_SOURCE_DIR) / "tests/text/data/clip_tokens.json"));
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
  nlohmann::json expected_;
};

TEST_F(ClipTokenizer, EncodesLikeTransformers) {
  for (const auto& row : expected_["encode"]) {
    EXPECT_EQ(tokenizer_->encode(row["text"].get<std::string>()), row["ids"].get<std::vector<int32_t>>()) << row["text"];
  }
}

TEST_F(ClipTokenizer, TheTwoLayoutsOfFilesAgree) {
  const TempFolder folder;
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    fs::copy_file(kFolder / name, folder / name);
  }
  const auto other = open_tokenizer(folder.path());
  for (const auto& row : expected_["encode"]) {
    const auto text = row["text"].get<std::string>();
    EXPECT_EQ(other->encode(text), tokenizer_->encode(text)) << text;
  }
}

TEST_F(ClipTokenizer, PadsAndTruncatesLikeTransformers) {
  std::string dogs = "dog";
  for (int i = 1; i < 90; ++i) dogs += " dog";
  const std::vector<std::string> texts = {"a cat", dogs};
  const TokenBatch batch = tokenizer_->encode_batch(texts);
  EXPECT_EQ(batch.ids.shape(), (Shape{2, 77}));
  EXPECT_EQ(batch.truncated, 1);
  for (int b = 0; b < 2; ++b) {
    const auto row = batch.ids.values<int32_t>().subspan(77 * b, 77);
    EXPECT_EQ(std::vector<int32_t>(row.begin(), row.end()), expected_["padded"][b].get<std::vector<int32_t>>());
  }
  EXPECT_EQ(tokenizer_->decode(tokenizer_->encode("A photo of  a cat")), "a photo of a cat");
}

TEST(Tokenizer, NamesWhatIsWrong) {
  const TempFolder folder;
  const auto message = [&] {
    try {
      open_tokenizer(folder.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message().find("no tokenizer"), std::string::npos);
  write_file(folder / "tokenizer.json", "[1]");
  EXPECT_NE(message().find("not a JSON object"), std::string::npos);
  write_file(folder / "tokenizer.json", R"({"model":{"type":"WordPiece"}})");
  EXPECT_NE(message().find("WordPiece"), std::string::npos);
  write_file(folder / "tokenizer.json", R"({"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":"b"},"merges":[]}})");
  EXPECT_NE(message().find("tokenizer files"), std::string::npos);
  write_file(folder / "tokenizer.json", R"({"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":1},"merges":["ab"]}})");
  EXPECT_NE(message().find("not a pair"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
