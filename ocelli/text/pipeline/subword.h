// The models of tokenizer.json: a word to the ids of its pieces.
// https://huggingface.co/docs/tokenizers/api/models
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ocelli/text/json_node.h"

namespace ocelli {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Tokens and their ids, which may have gaps; with two tokens of one id, either may stand for it.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;

  // An object of token to id. Throws corrupt_data for anything but ids from 0 to 2^31 - 1.
  static Vocabulary read(const JsonNode& node);

  // A token that is there already gets the new id.
  void set(std::string token, int32_t id);

  std::optional<int32_t> id(std::string_view token) const;
  // Throws corrupt_data naming `place` when the token is missing.
  int32_t require(std::string_view token, const std::string& place) const;
  const std::string* token(int32_t id) const;
  size_t size() const { return ids_.size(); }
  int64_t largest_id() const { return largest_; }

 private:
  std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>> ids_;
  std::unordered_map<int32_t, const std::string*> tokens_;  // into the keys of ids_
  int64_t largest_ = -1;
};

// Immutable after construction.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;

  virtual const char* kind() const = 0;  // "BPE"
  virtual void append(std::string_view word, std::vector<int32_t>& ids) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::optional<int32_t> unknown() const { return unknown_; }

 protected:
  Vocabulary vocabulary_;
  std::optional<int32_t> unknown_;
};

// By "type", or by what the fields say when it is absent, as in old files. Throws unsupported for
// a type that is not known, corrupt_data for wrong fields.
std::unique_ptr<const SubwordModel> make_subword_model(const JsonNode& node);

std::unique_ptr<const SubwordModel> make_bpe(const JsonNode& node);
std::unique_ptr<const SubwordModel> make_word_piece(const JsonNode& node);
std::unique_ptr<const SubwordModel> make_unigram(const JsonNode& node);

// The token of a byte in vocabularies that fall back to them: <0x0A>.
std::string byte_token(uint8_t byte);
// The byte of such a token; -1 for others.
int byte_of_token(std::string_view token);

}  // namespace ocelli
