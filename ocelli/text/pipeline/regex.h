// A pattern of a tokenizer file: a literal string, or a regular expression as Oniguruma's Ruby
// syntax reads it (what huggingface/tokenizers uses), run by ICU.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

// Bytes [begin, end) of a text.
struct Span {
  size_t begin = 0, end = 0;
};

class Pattern {
 public:
  // `place` names the file and field in messages. Throws corrupt_data for a pattern that does not
  // compile.
  static Pattern literal(std::string text);
  static Pattern regex(const std::string& expression, const std::string& place);

  // The matches from left to right. Throws unsupported when matching takes absurdly long.
  std::vector<Span> find_all(std::string_view text) const;

 private:
  struct Compiled;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace ocelli
