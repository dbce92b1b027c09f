// WordPiece as BERT reads it: the longest token that a word begins with, then the longest that
// continues it; a word that cannot be finished is unknown. Wu et al., arXiv 1609.08144.
#include <algorithm>

#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

class WordPiece final : public SubwordModel {
 public:
  explicit WordPiece(const JsonNode& node)
      : prefix_(node.get<std::string>("continuing_subword_prefix", "##")),
        longest_word_(node.get<int64_t>("max_input_chars_per_word", 100)) {
    vocabulary_ = Vocabulary::read(node.at("vocab"));
    unknown_ = vocabulary_.require(node.get<std::string>("unk_token", "[UNK]"), node.place());
    for (const auto& [token, id] : node.at("vocab").json().items()) {
      longest_token_ = std::max(longest_token_, token.size());
    }
  }

  const char* kind() const override { return "WordPiece"; }
  void append(std::string_view word, std::vector<int32_t>& ids) const override {
    if (static_cast<int64_t>(to_code_points(word).size()) > longest_word_) {
      return ids.push_back(*unknown_);
    }
    const size_t count = ids.size();
    std::string token;
    for (size_t begin = 0; begin < word.size();) {
      size_t end = std::min(word.size(), begin + longest_token_);
      std::optional<int32_t> id;
      for (; end > begin && !id; --end) {
        // Between two bytes of a character no token ends.
        if (end < word.size() && (static_cast<unsigned char>(word[end]) & 0xC0) == 0x80) continue;
        token = begin > 0 ? prefix_ : std::string();
        token += word.substr(begin, end - begin);
        id = vocabulary_.id(token);
        if (id) break;
      }
      if (!id) {
        ids.resize(count);
        return ids.push_back(*unknown_);
      }
      ids.push_back(*id);
      begin = end;
    }
  }

 private:
  std::string prefix_;
  int64_t longest_word_;
  size_t longest_token_ = 0;  // bytes
};

}  // namespace

std::unique_ptr<const SubwordModel> make_word_piece(const JsonNode& node) {
  return std::make_unique<WordPiece>(node);
}

}  // namespace ocelli
