#include "ocelli/text/pipeline/pre_tokenizer.h"

#include <algorithm>
#include <functional>

#include "ocelli/text/pipeline/component.h"
#include "ocelli/text/pipeline/split.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

// A pre-tokenizer that changes words one by one and then cuts them.
class Splitter final : public PreTokenizer {
 public:
  using Edit = std::function<void(Word&)>;
  using Cut = std::function<std::vector<Span>(std::string_view)>;

  Splitter(Edit edit, Cut cut) : edit_(std::move(edit)), cut_(std::move(cut)) {}

  void apply(std::vector<Word>& words) const override {
    std::vector<Word> result;
    for (Word& word : words) {
      if (edit_) edit_(word);
      if (!cut_) {
        if (!word.text.empty()) result.push_back(std::move(word));
        continue;
      }
      for (const Span& span : cut_(word.text)) {
        if (span.begin == span.end) continue;
        result.push_back(
            {word.text.substr(span.begin, span.end - span.begin), word.first && span.begin == 0});
      }
    }
    words = std::move(result);
  }

 private:
  Edit edit_;
  Cut cut_;
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PreTokenizer>> parts)
      : parts_(std::move(parts)) {}
  void apply(std::vector<Word>& words) const override {
    for (const auto& part : parts_) {
      part->apply(words);
      size_t bytes = 0;
      for (const Word& word : words) bytes += word.text.size();
      check_growth(bytes);
    }
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> parts_;
};

std::unique_ptr<const PreTokenizer> make(Splitter::Edit edit, Splitter::Cut cut) {
  return std::make_unique<Splitter>(std::move(edit), std::move(cut));
}

std::unique_ptr<const PreTokenizer> make_split(const Pattern& pattern, SplitBehavior behavior,
                                               bool invert = false) {
  return make({}, [=](std::string_view text) {
    return split(text, pattern.find_all(text), behavior, invert);
  });
}

std::unique_ptr<const PreTokenizer> make_character_split(bool (*is_one)(char32_t),
                                                         SplitBehavior behavior) {
  return make({}, [=](std::string_view text) {
    return split(text, find_characters(text, is_one), behavior);
  });
}

std::unique_ptr<const PreTokenizer> make_sequence(const JsonNode& node) {
  std::vector<std::unique_ptr<const PreTokenizer>> parts;
  for (const JsonNode& part : node.items("pretokenizers")) {
    check_depth(part);
    if (auto pre_tokenizer = make_pre_tokenizer(part)) parts.push_back(std::move(pre_tokenizer));
  }
  return std::make_unique<Sequence>(std::move(parts));
}

// What CLIP's files cut by: no match has a space in it.
constexpr std::string_view kClipSpecial = R"(<\|startoftext\|>|<\|endoftext\|>|)";
constexpr std::string_view kClipWords =
    R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// GPT-2's words, then a printable character for each byte.
class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool prefix_space, bool use_regex)
      : prefix_space_(prefix_space), use_regex_(use_regex) {}

  void apply(std::vector<Word>& words) const override {
    static const Pattern kWords = Pattern::regex(
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
        "ByteLevel");
    std::vector<Word> result;
    for (Word& word : words) {
      if (prefix_space_ && !word.text.starts_with(' ')) word.text.insert(word.text.begin(), ' ');
      std::vector<Span> spans = {{0, word.text.size()}};
      // Letters alone, which is what most words are that come here cut already, are one word.
      if (use_regex_ && !std::ranges::all_of(word.text, is_ascii_letter)) {
        spans = split(word.text, kWords.find_all(word.text), SplitBehavior::isolated);
      }
      for (const Span& span : spans) {
        std::string symbols;
        for (size_t i = span.begin; i < span.end; ++i) {
          symbols += byte_symbol(static_cast<uint8_t>(word.text[i]));
        }
        if (!symbols.empty()) result.push_back({std::move(symbols), word.first && !span.begin});
      }
    }
    words = std::move(result);
  }

 private:
  bool prefix_space_, use_regex_;
};

std::unique_ptr<const PreTokenizer> make_metaspace(const JsonNode& node) {
  const auto mark = node.get<std::string>("replacement", "\u2581");
  // Files of before version 0.15 say add_prefix_space.
  const auto scheme = node.get<std::string>(
      "prepend_scheme", node.get("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "never" && scheme != "first") {
    fail(ErrorCode::corrupt_data, "{}: '{}' is no prepend_scheme", node.place(),
         scheme.substr(0, 80));
  }
  const Pattern pattern = Pattern::literal(mark);
  const auto edit = [mark, scheme](Word& word) {
    std::string text;
    for (const char c : word.text) c == ' ' ? text += mark : text += c;
    const bool prepend = scheme == "always" || (scheme == "first" && word.first);
    word.text = prepend && !text.starts_with(mark) ? mark + text : std::move(text);
  };
  Splitter::Cut cut;
  if (node.get("split", true)) {
    cut = [pattern](std::string_view text) {
      return split(text, pattern.find_all(text), SplitBehavior::merged_with_next);
    };
  }
  return make(edit, cut);
}

std::unique_ptr<const PreTokenizer> make_bert() {
  return make({}, [](std::string_view text) {
    std::vector<Span> spans;
    for (const Span& word :
         split(text, find_characters(text, is_white_space), SplitBehavior::removed)) {
      const std::string_view part = text.substr(word.begin, word.end - word.begin);
      for (const Span& span :
           split(part, find_characters(part, is_punctuation), SplitBehavior::isolated)) {
        spans.push_back({word.begin + span.begin, word.begin + span.end});
      }
    }
    return spans;
  });
}

}  // namespace

std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const JsonNode& node) {
  if (!node) return nullptr;
  const auto type = node.require<std::string>("type");
  if (type == "Sequence") return make_sequence(node);
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>(node.get("add_prefix_space", true),
                                       node.get("use_regex", true));
  }
  if (type == "Split") {
    return make_split(read_pattern(node.at("pattern")), read_behavior(node),
                      node.get("invert", false));
  }
  if (type == "Metaspace") return make_metaspace(node);
  if (type == "BertPreTokenizer") return make_bert();
  if (type == "WhitespaceSplit") {
    return make_character_split(is_white_space, SplitBehavior::removed);
  }
  if (type == "Whitespace") {
    // In this place the reference has the regex crate, to which joiners are letters.
    static const Pattern kWords = Pattern::regex(
        R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200C\u200D]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200C\u200D\s]+)",
        "Whitespace");
    return make_split(kWords, SplitBehavior::removed, /*invert=*/true);
  }
  if (type == "Punctuation") {
    return make_character_split(
        is_punctuation, node.has("behavior") ? read_behavior(node) : SplitBehavior::isolated);
  }
  if (type == "Digits") {
    return make_character_split(is_number, node.get("individual_digits", false)
                                               ? SplitBehavior::isolated
                                               : SplitBehavior::contiguous);
  }
  if (type == "CharDelimiterSplit") {
    return make_split(Pattern::literal(node.require<std::string>("delimiter")),
                      SplitBehavior::removed);
  }
  fail_component(node, "pre-tokenizer", type);
}

bool splits_words_alone(const JsonNode& node) {
  if (!node) return false;
  const auto type = node.require<std::string>("type");
  if (type == "Sequence") {  // the others get the words of the first, one by one
    const std::vector<JsonNode> parts = node.items("pretokenizers");
    return !parts.empty() && splits_words_alone(parts[0]);
  }
  if (type == "ByteLevel") return node.get("use_regex", true);
  if (type == "Metaspace") {
    return node.get("split", true) && node.get<std::string>("replacement", "\u2581") == "\u2581";
  }
  if (type == "Split") {
    auto regex = node.at("pattern").get<std::string>("Regex", "");
    if (regex.starts_with(kClipSpecial)) regex.erase(0, kClipSpecial.size());
    return regex == kClipWords && node.get("invert", false) &&
           read_behavior(node) == SplitBehavior::removed;
  }
  return type == "BertPreTokenizer" || type == "WhitespaceSplit" || type == "Whitespace";
}

}  // namespace ocelli
