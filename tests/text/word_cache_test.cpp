#include "ocelli/text/pipeline/word_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "ocelli/text/tokenizer.h"

namespace ocelli {
namespace {

using Ids = std::vector<int32_t>;

// As many ids as the word has bytes.
void append_bytes(std::string_view word, Ids& ids) {
  ids.insert(ids.end(), word.begin(), word.end());
}

TEST(WordCache, GivesWhatWasEncoded) {
  WordCache cache;
  int encoded = 0;
  const auto encode = [&](std::string_view word, Ids& ids) {
    ++encoded;
    append_bytes(word, ids);
  };
  const std::string text = "a  dog, a word-of-more-than-ten-ids a ";
  for (int i = 0; i < 2; ++i) {
    Ids ids = {7}, expected = {7};
    cache.append_words(text, ids, encode);
    append_bytes(text, expected);
    EXPECT_EQ(ids, expected);
  }
  // "a", "  dog,", " a" and " " once; the long word, which is not kept, twice.
  EXPECT_EQ(encoded, 6);
}

TEST(WordCache, TakesAnyNumberOfWordsFromManyThreads) {
  WordCache cache;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache] {
      for (int i = 0; i < 50'000; ++i) {
        const std::string word = std::to_string(i % 40'000);
        Ids ids, expected;
        cache.append_words(word, ids, append_bytes);
        append_bytes(word, expected);
        ASSERT_EQ(ids, expected);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A text with a character outside ASCII is taken whole: its ids must begin with those of the text
// before that character, which are put together from words.
class WordByWord : public testing::TestWithParam<const char*> {};

TEST_P(WordByWord, GivesTheIdsOfTheWholeText) {
  const auto tokenizer =
      open_tokenizer(std::filesystem::path(OCELLI_SOURCE_DIR) / "tests/text/data" / GetParam());
  const std::vector<std::string> parts = {" ",
                                          "  ",
                                          " ",
                                          "<",
                                          "s>",
                                          "</s>",
                                          "[SEP]",
                                          "[",
                                          "MASK]",
                                          "'s",
                                          "'ll",
                                          "it",
                                          "Dog",
                                          "12",
                                          "3",
                                          ".",
                                          ",",
                                          "_",
                                          "-",
                                          "&",
                                          "<|endoftext|>",
                                          "<|startoftext|>",
                                          "<mask>",
                                          "PHOTO",
                                          "a",
                                          "\"",
                                          "~"};
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string text = "a";
    for (auto left = random() % 20; left > 0; --left) text += parts[random() % parts.size()];
    Ids words = tokenizer->encode(text);
    const Ids whole = tokenizer->encode(text + " \u00e9");
    const Ids none = tokenizer->encode("");
    // Without the special tokens at the end, as many as stand behind nothing.
    while (!words.empty() && !none.empty() && words.back() == none.back()) words.pop_back();
    ASSERT_LE(words.size(), whole.size()) << text;
    EXPECT_TRUE(std::equal(words.begin(), words.end(), whole.begin())) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Folder, WordByWord,
                         testing::Values("bert_accents", "bert_cased", "clip_files", "clip_json",
                                         "gpt2_files", "open_clip_t5", "roberta_json", "t5_spiece",
                                         "word_level_raw", "xlm_roberta_spiece"),
                         [](const auto& folder) { return std::string(folder.param); });

}  // namespace
}  // namespace ocelli
