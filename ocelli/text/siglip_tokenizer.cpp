#include "ocelli/text/siglip_tokenizer.h"

#include <algorithm>

#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

constexpr std::string_view kSpace = "\u2581";

class SiglipTokenizer final : public Tokenizer {
 public:
  SiglipTokenizer(SentencePieceFile file, SiglipOptions options)
      : model_(std::move(file)), lower_case_(options.lower_case), unk_token_(options.unk_token) {
    clean_ = options.clean;
    std::vector<AddedToken> tokens = std::move(options.added_tokens);
    for (const std::string& content : {options.eos_token, options.unk_token, options.pad_token}) {
      if (std::ranges::find(tokens, content, &AddedToken::content) != tokens.end()) continue;
      tokens.push_back({.content = content, .lstrip = true, .rstrip = true, .special = true});
    }
    for (AddedToken& token : tokens) add(token);
    finder_ = AddedTokenFinder(std::move(tokens), [](const std::string& text) { return text; });
    suffix_ = {*token_to_id(options.eos_token)};
    unknown_length_ = model_.encode(unk_token_).size();
    info_.kind = "SentencePiece";
    info_.vocab_size = std::max<int64_t>(model_.size(), added_.largest_id() + 1);
    info_.context_length = options.context_length;
    info_.pad_side = options.pad_side;
    info_.truncation_side = options.truncation_side;
    info_.pad_id = *token_to_id(options.pad_token);
    info_.eos_id = suffix_[0];
    info_.unk_id = token_to_id(unk_token_);
  }

  std::optional<int32_t> token_to_id(std::string_view token) const override {
    if (const auto id = added_.id(token)) return id;
    return model_.id(token);
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    std::vector<int32_t> pieces;
    bool after_special = false;
    for (const int32_t id : ids) {
      const std::string* special = special_.token(id);
      check(special || added_.token(id) || (id >= 0 && id < model_.size()),
            "tokenizer: the id {} is not in the vocabulary", id);
      if (special && skip_special) continue;
      if (!special && id >= model_.size()) {
        text += model_.decode(std::exchange(pieces, {})) + *added_.token(id);
      } else if (!special) {
        pieces.push_back(id);
      } else {
        if (!after_special) text += ' ';
        text += model_.decode(std::exchange(pieces, {})) + *special;
      }
      after_special = special != nullptr;
    }
    text += model_.decode(pieces);
    return std::string(trim_left(trim_right(text, is_python_space), is_python_space));
  }

 protected:
  void append_ids(std::string_view text, std::vector<int32_t>& ids) const override {
    // The text begins with the mark of a space, and has none of its own.
    std::string marked(kSpace);
    for (size_t at = 0; at < text.size();) {
      const bool mark = text.substr(at).starts_with(kSpace);
      marked += mark ? ' ' : text[at];
      at += mark ? kSpace.size() : 1;
    }
    const size_t begin = ids.size();
    for (const Segment& segment : finder_.find(marked)) {
      if (!segment.token) {
        append_part(segment.text, ids);
        continue;
      }
      // Of a mark alone before a special token nothing stays.
      const bool lone_mark = ids.size() == begin + 1 && ids[begin] == model_.id(kSpace);
      if (lone_mark && segment.token->special) ids.resize(begin);
      ids.push_back(segment.token->id);
    }
  }

  // The end is not put behind one that is there.
  std::vector<int32_t> with_special(std::vector<int32_t> ids) const override {
    if (ids.empty() || ids.back() != suffix_[0]) ids.push_back(suffix_[0]);
    return ids;
  }

 private:
  void add(AddedToken& token) {
    const int32_t next = std::max(model_.size(), static_cast<int32_t>(added_.largest_id() + 1));
    token.id = model_.id(token.content).value_or(next);
    added_.set(token.content, token.id);
    if (token.special) special_.set(token.content, token.id);
  }

  // The unknown token in front keeps SentencePiece from taking the space mark away.
  void append_part(std::string_view text, std::vector<int32_t>& ids) const {
    std::string source = lower_case_ ? lower_in_context(text) : std::string(text);
    std::erase_if(source, [](char c) {
      return static_cast<unsigned char>(c) < 0x80 && is_punctuation(static_cast<unsigned char>(c));
    });
    const std::vector<int32_t> all = model_.encode(unk_token_ + collapse_python_spaces(source));
    const size_t drop = all.size() >= unknown_length_ ? unknown_length_ : 0;
    ids.insert(ids.end(), all.begin() + static_cast<std::ptrdiff_t>(drop), all.end());
  }

  SentencePieceModel model_;
  bool lower_case_;
  std::string unk_token_;
  size_t unknown_length_ = 0;
  Vocabulary added_, special_;
  AddedTokenFinder finder_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_siglip_tokenizer(SentencePieceFile file,
                                                       SiglipOptions options) {
  return std::make_shared<SiglipTokenizer>(std::move(file), std::move(options));
}

}  // namespace ocelli
