#include "ocelli/text/simple_tokenizer.h"

#include <algorithm>

#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/pipeline/word_cache.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

constexpr std::string_view kWordEnd = "</w>";
constexpr std::string_view kStart = "<start_of_text>", kEnd = "<end_of_text>";

enum class Kind { none, letter, number, other };

// Of the reference's expression, which ignores case: U+0345, a mark whose other case is a letter,
// is then neither in a set of letters nor outside it.
Kind kind_of(char32_t c) {
  if (is_white_space(c) || c == 0x345) return Kind::none;
  if (is_letter(c)) return Kind::letter;
  return is_number(c) ? Kind::number : Kind::other;
}

// Length of `word` at the beginning of `text`, or 0. To an expression that ignores case the long s
// is an s.
size_t matched(std::string_view text, std::string_view word) {
  size_t at = 0;
  for (const char c : word) {
    constexpr std::string_view kLongS = "\u017F";
    if (text.substr(at).starts_with(c))
      ++at;
    else if (c == 's' && text.substr(at).starts_with(kLongS))
      at += kLongS.size();
    else
      return 0;
  }
  return at;
}

// <start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
std::vector<std::string_view> split_words(std::string_view text) {
  static constexpr std::string_view kWhole[] = {kStart, kEnd, "'s",  "'t", "'re",
                                                "'ve",  "'m", "'ll", "'d"};
  std::vector<std::string_view> words;
  while (!text.empty()) {
    size_t length = 0;
    for (const std::string_view word : kWhole) {
      if (length == 0) length = matched(text, word);
    }
    size_t next = 0;
    const Kind kind = kind_of(next_code_point(text, next));
    if (kind == Kind::none) {
      text.remove_prefix(next);
      continue;
    }
    if (length == 0) {
      length = next;
      while (kind != Kind::number && next < text.size() &&
             kind_of(next_code_point(text, next)) == kind) {
        length = next;
      }
    }
    words.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return words;
}

std::vector<std::string> byte_symbols() {
  // In the order of the reference: the bytes that are printable, then the others.
  std::vector<std::string> symbols, others;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& symbol = byte_symbol(static_cast<uint8_t>(byte));
    size_t at = 0;
    const bool printable = next_code_point(symbol, at) == static_cast<char32_t>(byte);
    (printable ? symbols : others).push_back(symbol);
  }
  symbols.insert(symbols.end(), others.begin(), others.end());
  return symbols;
}

nlohmann::json bpe_of(const std::vector<std::pair<std::string, std::string>>& merges) {
  nlohmann::json vocab = nlohmann::json::object(), pairs = nlohmann::json::array();
  int32_t id = 0;
  for (const std::string& symbol : byte_symbols()) vocab[symbol] = id++;
  for (const std::string& symbol : byte_symbols()) vocab[symbol + std::string(kWordEnd)] = id++;
  for (const auto& [left, right] : merges) {
    vocab[left + right] = id++;
    if (!left.empty()) pairs.push_back({left, right});
  }
  for (const std::string_view token : {kStart, kEnd}) vocab[std::string(token)] = id++;
  return {{"type", "BPE"}, {"end_of_word_suffix", kWordEnd}, {"vocab", vocab}, {"merges", pairs}};
}

class SimpleTokenizer final : public Tokenizer {
 public:
  SimpleTokenizer(const std::vector<std::pair<std::string, std::string>>& merges,
                  const std::string& name, const SimpleTokenizerOptions& options) {
    clean_ = options.clean;
    const nlohmann::json bpe = bpe_of(merges);
    model_ = make_bpe({bpe, name});
    prefix_ = {model_->vocabulary().require(kStart, name)};
    suffix_ = {model_->vocabulary().require(kEnd, name)};
    info_.kind = "BPE";
    info_.vocab_size = model_->vocabulary().largest_id() + 1;
    info_.context_length = options.context_length;
    info_.bos_id = prefix_[0];
    info_.eos_id = suffix_[0];
  }

  std::optional<int32_t> token_to_id(std::string_view token) const override {
    return model_->vocabulary().id(token);
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string symbols;
    for (const int32_t id : ids) {
      const std::string* token = model_->vocabulary().token(id);
      check(token != nullptr, "tokenizer: the id {} is not in the vocabulary", id);
      if (!skip_special || (id != prefix_[0] && id != suffix_[0])) symbols += *token;
    }
    std::string bytes;
    for (const char32_t c : to_code_points(symbols)) {
      const int byte = byte_of_symbol(c);
      if (byte >= 0) bytes += static_cast<char>(byte);
    }
    std::string text = replace_all(valid_utf8(bytes), kWordEnd, " ");
    if (text.ends_with(' ')) text.pop_back();
    return text;
  }

 protected:
  void append_ids(std::string_view text, std::vector<int32_t>& ids) const override {
    if (!is_printable_ascii(text)) return append_part(text, ids);
    words_.append_words(text, ids, [this](std::string_view word, std::vector<int32_t>& to) {
      append_part(word, to);
    });
  }

 private:
  void append_part(std::string_view text, std::vector<int32_t>& ids) const {
    std::string symbols;
    for (const std::string_view word : split_words(text)) {
      if (word == kStart || word == kEnd) {
        ids.push_back(word == kStart ? prefix_[0] : suffix_[0]);
        continue;
      }
      symbols.clear();
      for (const char c : word) symbols += byte_symbol(static_cast<uint8_t>(c));
      model_->append(symbols, ids);
    }
  }

  std::unique_ptr<const SubwordModel> model_;
  mutable WordCache words_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> read_simple_merges(std::string_view text,
                                                                    const std::string& name) {
  constexpr size_t kMost = 49152 - 256 - 2;  // the file has more, which CLIP does not use
  std::vector<std::pair<std::string, std::string>> merges;
  size_t end = text.find('\n');  // of the version
  while (end != std::string_view::npos && merges.size() < kMost) {
    const size_t begin = end + 1;
    end = text.find('\n', begin);
    const std::string line = collapse_python_spaces(
        text.substr(begin, end == std::string_view::npos ? end : end - begin));
    const size_t space = std::min(line.find(' '), line.size());
    const std::string left = line.substr(0, space),
                      right = line.substr(std::min(space + 1, line.size()));
    // An empty line merges nothing, and yet takes an id.
    if (right.empty() != left.empty() || right.find(' ') != std::string::npos) {
      fail(ErrorCode::corrupt_data, "{}: the merge '{}' is not a pair", name, line.substr(0, 80));
    }
    merges.emplace_back(left, right);
  }
  if (merges.empty()) fail(ErrorCode::corrupt_data, "{}: holds no merges", name);
  return merges;
}

std::shared_ptr<const Tokenizer> make_simple_tokenizer(
    const std::vector<std::pair<std::string, std::string>>& merges, const std::string& name,
    const SimpleTokenizerOptions& options) {
  return std::make_shared<SimpleTokenizer>(merges, name, options);
}

}  // namespace ocelli
