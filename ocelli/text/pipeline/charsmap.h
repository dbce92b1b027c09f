// SentencePiece's compiled character map: a Darts double array of UTF-8 prefixes, whose values
// point at the replacements. Format: sentencepiece/src/normalizer.cc, EncodePrecompiledCharsMap.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

class CharsMap {
 public:
  // `place` is for messages. Throws corrupt_data.
  CharsMap(std::string_view bytes, const std::string& place);

  struct Match {
    size_t length = 0;             // bytes of the text
    std::string_view replacement;  // lives as long as the map
  };
  // The longest rule that `text` begins with.
  std::optional<Match> longest(std::string_view text) const;
  // The shortest one, which is what huggingface/tokenizers asks for.
  std::optional<Match> shortest(std::string_view text) const;

 private:
  // Calls found(length, value) for each rule that `text` begins with until it returns false.
  template <typename Found>
  void prefixes(std::string_view text, Found found) const;
  std::string_view replacement(uint32_t at) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace ocelli
