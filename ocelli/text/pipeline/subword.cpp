#include "ocelli/text/pipeline/subword.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "ocelli/text/pipeline/component.h"

namespace ocelli {
namespace {

// A word is one token or unknown.
class WordLevel final : public SubwordModel {
 public:
  explicit WordLevel(const JsonNode& node) {
    vocabulary_ = Vocabulary::read(node.at("vocab"));
    unknown_ = vocabulary_.require(node.get<std::string>("unk_token", "<unk>"), node.place());
  }
  const char* kind() const override { return "WordLevel"; }
  void append(std::string_view word, std::vector<int32_t>& ids) const override {
    ids.push_back(vocabulary_.id(word).value_or(*unknown_));
  }
};

std::string type_of(const JsonNode& node) {
  if (node.has("type")) return node.require<std::string>("type");
  if (node.has("merges")) return "BPE";
  if (node.has("max_input_chars_per_word")) return "WordPiece";
  return node.at("vocab").json().is_array() ? "Unigram" : "WordLevel";
}

}  // namespace

Vocabulary Vocabulary::read(const JsonNode& node) {
  if (!node.json().is_object()) {
    fail(ErrorCode::corrupt_data, "{}: a vocabulary is an object of tokens and ids", node.place());
  }
  Vocabulary vocabulary;
  vocabulary.ids_.reserve(node.json().size());
  for (const auto& [token, id] : node.json().items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() > std::numeric_limits<int32_t>::max()) {
      fail(ErrorCode::corrupt_data, "{}: the token '{}' has no id from 0 to 2147483647",
           node.place(), token.substr(0, 80));
    }
    vocabulary.set(token, id.get<int32_t>());
  }
  return vocabulary;
}

void Vocabulary::set(std::string token, int32_t id) {
  const auto entry = ids_.insert_or_assign(std::move(token), id).first;
  tokens_[id] = &entry->first;
  largest_ = std::max<int64_t>(largest_, id);
}

std::optional<int32_t> Vocabulary::id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

int32_t Vocabulary::require(std::string_view token, const std::string& place) const {
  const auto found = id(token);
  if (!found) {
    fail(ErrorCode::corrupt_data, "{}: the token '{}' is missing from the vocabulary", place,
         token.substr(0, 80));
  }
  return *found;
}

const std::string* Vocabulary::token(int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

std::unique_ptr<const SubwordModel> make_subword_model(const JsonNode& node) {
  const std::string type = type_of(node);
  if (type == "BPE") return make_bpe(node);
  if (type == "WordPiece") return make_word_piece(node);
  if (type == "Unigram") return make_unigram(node);
  if (type == "WordLevel") return std::make_unique<WordLevel>(node);
  fail_component(node, "model", type);
}

std::string byte_token(uint8_t byte) {
  return fmt::format("<0x{:02X}>", byte);
}

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return -1;
  uint8_t byte = 0;
  const auto result = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return result.ptr == token.data() + 5 ? byte : -1;
}

}  // namespace ocelli
