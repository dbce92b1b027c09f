// Tokens that are found in a text before the model sees it: special ones and those added later.
// https://huggingface.co/docs/tokenizers/api/added-tokens
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ocelli/text/json_node.h"

namespace ocelli {

struct AddedToken {
  std::string content;
  bool single_word = false;             // not beside a letter, mark, digit or underscore
  bool lstrip = false, rstrip = false;  // takes white space at its sides with it
  bool normalized = false;              // is found in the normalised text
  bool special = false;                 // left out when decoding
  int32_t id = 0;

  static AddedToken read(const JsonNode& node, int32_t id);
};

// A part of a text: one added token, or what lies between them (token is null).
struct Segment {
  std::string_view text;
  const AddedToken* token = nullptr;
};

// Finds tokens from left to right, the longest that matches at a place.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  // `normalize` is applied to each token's content first.
  AddedTokenFinder(std::vector<AddedToken> tokens,
                   const std::function<std::string(const std::string&)>& normalize);

  // Whether a text may be searched word by word, each with the spaces before it.
  bool finds_in_words_alone() const;
  std::vector<Segment> find(std::string_view text) const;

 private:
  struct Entry {
    AddedToken token;
    std::string pattern;
  };
  const Entry* match(std::string_view text, size_t at) const;

  std::vector<Entry> tokens_;  // by first byte, the longest first
  std::array<uint32_t, 257> starts_{};
};

}  // namespace ocelli
