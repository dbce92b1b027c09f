#include "ocelli/text/pipeline/pipeline.h"

#include <algorithm>
#include <limits>

#include "ocelli/text/pipeline/added_tokens.h"
#include "ocelli/text/pipeline/decoder.h"
#include "ocelli/text/pipeline/normalizer.h"
#include "ocelli/text/pipeline/post_processor.h"
#include "ocelli/text/pipeline/pre_tokenizer.h"
#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/pipeline/word_cache.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

class Pipeline final : public Tokenizer {
 public:
  Pipeline(const JsonNode& node, const PipelineOptions& options)
      : normalizer_(make_normalizer(node.at("normalizer"))),
        pre_tokenizer_(make_pre_tokenizer(node.at("pre_tokenizer"))),
        model_(make_subword_model(node.at("model"))),
        decoder_(make_decoder(node.at("decoder"))),
        word_end_(options.word_end),
        // The reference leaves what byte pair encoding decodes as it is.
        clean_up_spaces_(options.clean_up_spaces && model_->kind() != std::string_view("BPE")) {
    clean_ = options.clean;
    if (node.has("added_tokens")) read_added_tokens(node);
    SpecialIds special = read_post_processor(node.at("post_processor"));
    prefix_ = std::move(special.before);
    suffix_ = std::move(special.after);
    const auto require = [&](const std::string& token) {
      const auto id = token_to_id(token);
      if (!id) fail(ErrorCode::corrupt_data, "{}: the token '{}' is missing", node.place(), token);
      return *id;
    };
    if (!options.before_token.empty()) prefix_ = {require(options.before_token)};
    if (!options.after_token.empty()) suffix_ = {require(options.after_token)};
    set_info(options);
    if (takes_words_alone(node)) words_ = std::make_unique<WordCache>();
  }

  std::optional<int32_t> token_to_id(std::string_view token) const override {
    if (const auto id = added_.id(token)) return id;
    return model_->vocabulary().id(token);
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    for (const int32_t id : ids) {
      const std::string* token = token_of(id);
      check(token != nullptr, "tokenizer: the id {} is not in the vocabulary", id);
      if (!skip_special || !special_.id(*token)) tokens.push_back(*token);
    }
    std::string text;
    if (decoder_) decoder_->apply(tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (!decoder_ && i > 0) text += ' ';
      text += tokens[i];
    }
    if (clean_up_spaces_) text = clean_up_spaces(std::move(text));
    return word_end_.empty() ? text : without_word_ends(text);
  }

 protected:
  void append_ids(std::string_view text, std::vector<int32_t>& ids) const override {
    if (!words_ || text.starts_with(' ') || !is_printable_ascii(text)) {
      return append_part(text, /*begins=*/true, ids);
    }
    words_->append_words(text, ids, [&](std::string_view word, std::vector<int32_t>& to) {
      append_part(word, word.data() == text.data(), to);
    });
  }

 private:
  // `begins`: the part is the beginning of the text.
  void append_part(std::string_view text, bool begins, std::vector<int32_t>& ids) const {
    for (const Segment& raw : raw_finder_.find(text)) {
      if (raw.token) {
        ids.push_back(raw.token->id);
        continue;
      }
      std::string part(raw.text);
      const bool kept = !normalizer_ || normalizer_->apply(part);
      const bool first = begins && kept && raw.text.data() == text.data();
      for (const Segment& segment : normalized_finder_.find(part)) {
        if (segment.token)
          ids.push_back(segment.token->id);
        else
          append_words(segment.text, first && segment.text.data() == part.data(), ids);
      }
    }
  }

  void append_words(std::string_view text, bool first, std::vector<int32_t>& ids) const {
    std::vector<Word> words = {{std::string(text), first}};
    if (pre_tokenizer_) pre_tokenizer_->apply(words);
    for (const Word& word : words) model_->append(word.text, ids);
  }

  std::string normalized(std::string text) const {
    if (normalizer_) normalizer_->apply(text);
    return text;
  }

  bool takes_words_alone(const JsonNode& node) const {
    if (!normalizes_words_alone(node.at("normalizer")) ||
        !splits_words_alone(node.at("pre_tokenizer"))) {
      return false;
    }
    // A table of characters may make spaces of others.
    for (char c = '!'; c <= '~'; ++c) {
      const std::string text = normalized(std::string(1, c));
      if (text.empty() || std::ranges::count(text, ' ') > 0) return false;
    }
    return normalized(" ") == " " && raw_finder_.finds_in_words_alone() &&
           normalized_finder_.finds_in_words_alone();
  }

  const std::string* token_of(int32_t id) const {
    if (const std::string* token = added_.token(id)) return token;
    return model_->vocabulary().token(id);
  }

  void read_added_tokens(const JsonNode& node) {
    std::vector<AddedToken> raw, normal;
    for (const JsonNode& item : node.items("added_tokens")) {
      AddedToken token = AddedToken::read(item, 0);
      if (token.content.empty() || added_.id(token.content)) continue;
      token.id = new_id(token.content);
      added_.set(token.content, token.id);
      if (token.special) special_.set(token.content, token.id);
      (token.normalized ? normal : raw).push_back(std::move(token));
    }
    raw_finder_ = AddedTokenFinder(std::move(raw), [](const std::string& text) { return text; });
    normalized_finder_ = AddedTokenFinder(
        std::move(normal), [this](const std::string& text) { return normalized(text); });
  }

  // The model's own; else, whatever the file says, the next one, as the reference has it.
  int32_t new_id(const std::string& token) const {
    const Vocabulary& vocabulary = model_->vocabulary();
    if (const auto id = vocabulary.id(token)) return *id;
    const auto size = static_cast<int64_t>(vocabulary.size());
    const int64_t next = std::max(size, added_.largest_id() + 1);
    if (next > std::numeric_limits<int32_t>::max()) {
      fail(ErrorCode::corrupt_data, "tokenizer: no id is left for the added token '{}'",
           token.substr(0, 80));
    }
    return static_cast<int32_t>(next);
  }

  void set_info(const PipelineOptions& options) {
    info_.kind = model_->kind();
    info_.vocab_size = std::max(model_->vocabulary().largest_id(), added_.largest_id()) + 1;
    // A post-processor may name ids that no token has.
    for (const auto* special : {&prefix_, &suffix_}) {
      for (const int32_t id : *special) {
        info_.vocab_size = std::max<int64_t>(info_.vocab_size, id + int64_t{1});
      }
    }
    info_.context_length = options.context_length;
    info_.pad_side = options.pad_side;
    info_.truncation_side = options.truncation_side;
    const auto id_of = [this](const std::string& token) {
      return token.empty() ? std::nullopt : token_to_id(token);
    };
    info_.pad_id = id_of(options.pad_token).value_or(0);
    info_.bos_id = id_of(options.bos_token);
    info_.eos_id = id_of(options.eos_token);
    info_.unk_id = model_->unknown() ? model_->unknown() : id_of(options.unk_token);
  }

  std::string without_word_ends(const std::string& source) const {
    const std::string text = replace_all(source, word_end_, " ");
    return std::string(trim_left(trim_right(text, is_python_space), is_python_space));
  }

  std::unique_ptr<const Normalizer> normalizer_;
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;
  std::unique_ptr<const SubwordModel> model_;
  std::unique_ptr<const Decoder> decoder_;
  Vocabulary added_, special_;
  AddedTokenFinder raw_finder_, normalized_finder_;
  std::unique_ptr<WordCache> words_;  // null where a text is more than its words
  std::string word_end_;
  bool clean_up_spaces_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_pipeline(const nlohmann::json& document,
                                               const std::string& name,
                                               const PipelineOptions& options) {
  return std::make_shared<Pipeline>(JsonNode(document, name), options);
}

}  // namespace ocelli
