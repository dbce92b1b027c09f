#include "ocelli/text/pipeline/normalizer.h"

#include <algorithm>
#include <functional>

#include "ocelli/text/pipeline/base64.h"
#include "ocelli/text/pipeline/charsmap.h"
#include "ocelli/text/pipeline/component.h"
#include "ocelli/text/pipeline/regex.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

// A normalizer that is one function.
class FunctionNormalizer final : public Normalizer {
 public:
  explicit FunctionNormalizer(std::function<bool(std::string&)> function)
      : function_(std::move(function)) {}
  bool apply(std::string& text) const override { return function_(text); }

 private:
  std::function<bool(std::string&)> function_;
};

std::unique_ptr<const Normalizer> make(std::function<bool(std::string&)> function) {
  return std::make_unique<FunctionNormalizer>(std::move(function));
}

constexpr char32_t kDrop = 0xFFFFFFFF;

// Keeps the characters that `map` returns, except kDrop; false when the first is dropped.
template <typename Map>
bool map_characters(std::string& text, Map map) {
  std::string result;
  result.reserve(text.size());
  bool first = true;
  for (size_t at = 0; at < text.size();) {
    const bool begins = at == 0;
    const char32_t c = map(next_code_point(text, at));
    if (c != kDrop)
      append_utf8(result, c);
    else if (begins)
      first = false;
  }
  text = std::move(result);
  return first;
}

std::unique_ptr<const Normalizer> make_sequence(const JsonNode& node) {
  auto parts = std::make_shared<std::vector<std::unique_ptr<const Normalizer>>>();
  for (const JsonNode& part : node.items("normalizers")) {
    check_depth(part);
    if (auto normalizer = make_normalizer(part)) parts->push_back(std::move(normalizer));
  }
  return make([parts](std::string& text) {
    bool first = true;
    for (const auto& part : *parts) {
      first &= part->apply(text);
      check_growth(text.size());
    }
    return first;
  });
}

std::unique_ptr<const Normalizer> make_form(NormalForm form) {
  return make([form](std::string& text) {
    text = normalize_9(text, form);
    return true;
  });
}

std::unique_ptr<const Normalizer> make_strip(const JsonNode& node) {
  const bool left = node.get("strip_left", true), right = node.get("strip_right", true);
  return make([left, right](std::string& text) {
    std::string_view rest = text;
    if (left) rest = trim_left(rest, is_white_space);
    const bool first = rest.size() == text.size();
    if (right) rest = trim_right(rest, is_white_space);
    text = std::string(rest);
    return first;
  });
}

// Whether what stands for the first match begins the text: it takes the place of the last character
// that matched.
bool keeps_beginning(std::string_view text, const Span& match, const std::string& content) {
  if (match.begin > 0 || match.end == 0) return true;
  size_t next = 0;
  next_code_point(text, next);
  return !content.empty() && next == match.end;
}

std::unique_ptr<const Normalizer> make_replace(const JsonNode& node) {
  const Pattern pattern = read_pattern(node.at("pattern"));
  const auto content = node.require<std::string>("content");
  return make([pattern, content](std::string& text) {
    const std::vector<Span> spans = pattern.find_all(text);
    if (spans.empty()) return true;
    check_growth(text.size() + spans.size() * content.size());
    const bool first = keeps_beginning(text, spans[0], content);
    std::string result;
    size_t end = 0;
    for (const Span& span : spans) {
      result.append(text, end, span.begin - end).append(content);
      end = span.end;
    }
    text = result.append(text, end);
    return first;
  });
}

std::unique_ptr<const Normalizer> make_prepend(const JsonNode& node) {
  const auto prefix = node.require<std::string>("prepend");
  return make([prefix](std::string& text) {
    if (!text.empty()) text.insert(0, prefix);
    return true;
  });
}

std::unique_ptr<const Normalizer> make_byte_level(const JsonNode&) {
  return make([](std::string& text) {
    std::string result;
    for (const char c : text) result += byte_symbol(static_cast<uint8_t>(c));
    text = std::move(result);
    return true;
  });
}

// SentencePiece's "nmt" rules as far as they are not in its character map.
std::unique_ptr<const Normalizer> make_nmt(const JsonNode&) {
  return make([](std::string& text) {
    return map_characters(text, [](char32_t c) -> char32_t {
      if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
          c == 0x9F) {
        return kDrop;
      }
      const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                         c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      return space ? U' ' : c;
    });
  });
}

std::unique_ptr<const Normalizer> make_precompiled(const JsonNode& node) {
  const JsonNode field = node.at("precompiled_charsmap");
  const std::string bytes =
      field.json().is_binary()
          ? std::string(field.json().get_binary().begin(), field.json().get_binary().end())
          : decode_base64(node.require<std::string>("precompiled_charsmap"), field.place());
  const auto map = std::make_shared<const CharsMap>(bytes, field.place());
  return make([map](std::string& text) {
    std::string result;
    for (const std::string_view grapheme : graphemes(text)) {
      const auto whole = grapheme.size() < 6 ? map->shortest(grapheme) : std::nullopt;
      if (whole) {
        result += whole->replacement;
        continue;
      }
      for (size_t at = 0; at < grapheme.size();) {
        const size_t before = at;
        next_code_point(grapheme, at);
        const std::string_view part = grapheme.substr(before, at - before);
        const auto match = map->shortest(part);
        result += match ? match->replacement : part;
      }
    }
    text = std::move(result);
    return true;  // to the reference, also of a first character that becomes nothing
  });
}

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

bool clean_bert_text(std::string& text) {
  return map_characters(text, [](char32_t c) -> char32_t {
    if (c == '\t' || c == '\n' || c == '\r') return ' ';
    if (c == 0 || c == 0xFFFD || is_control(c)) return kDrop;
    return is_white_space(c) ? U' ' : c;
  });
}

void space_chinese(std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t before = at;
    const bool chinese = is_chinese(next_code_point(text, at));
    if (chinese) result += ' ';
    result.append(text, before, at - before);
    if (chinese) result += ' ';
  }
  text = std::move(result);
}

bool strip_marks(std::string& text, bool (*is_one)(char32_t)) {
  return map_characters(text, [is_one](char32_t c) -> char32_t { return is_one(c) ? kDrop : c; });
}

std::unique_ptr<const Normalizer> make_bert(const JsonNode& node) {
  const bool clean = node.get("clean_text", true);
  const bool chinese = node.get("handle_chinese_chars", true);
  const bool lowercase = node.get("lowercase", true);
  const bool accents = node.get("strip_accents", lowercase);
  return make([=](std::string& text) {
    bool first = !clean || clean_bert_text(text);
    if (chinese) space_chinese(text);
    if (accents) {
      text = normalize_9(text, NormalForm::nfd);
      first &= strip_marks(text, is_nonspacing_mark);
    }
    if (lowercase) text = lower_each(text);
    return first;
  });
}

}  // namespace

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node) {
  if (!node) return nullptr;
  const auto type = node.require<std::string>("type");
  if (type == "Sequence") return make_sequence(node);
  if (type == "NFC") return make_form(NormalForm::nfc);
  if (type == "NFD") return make_form(NormalForm::nfd);
  if (type == "NFKC") return make_form(NormalForm::nfkc);
  if (type == "NFKD") return make_form(NormalForm::nfkd);
  if (type == "Lowercase") {
    return make([](std::string& text) {
      text = lower_each(text);
      return true;
    });
  }
  if (type == "Strip") return make_strip(node);
  if (type == "StripAccents")
    return make([](std::string& text) { return strip_marks(text, is_mark); });
  if (type == "Replace") return make_replace(node);
  if (type == "Prepend") return make_prepend(node);
  if (type == "ByteLevel") return make_byte_level(node);
  if (type == "Nmt") return make_nmt(node);
  if (type == "Precompiled") return make_precompiled(node);
  if (type == "BertNormalizer") return make_bert(node);
  fail_component(node, "normalizer", type);
}

bool normalizes_words_alone(const JsonNode& node) {
  if (!node) return true;
  const auto type = node.require<std::string>("type");
  if (type == "Sequence")
    return std::ranges::all_of(node.items("normalizers"), normalizes_words_alone);
  if (type == "Replace") {
    const JsonNode pattern = node.at("pattern");
    const auto regex = pattern.get<std::string>("Regex", "");
    return (regex == "\\s+" || regex == " {2,}") && node.require<std::string>("content") == " ";
  }
  // These take each character of ASCII for itself.
  constexpr std::string_view kCharacters[] = {"NFC",  "NFD",         "NFKC",
                                              "NFKD", "Lowercase",   "StripAccents",
                                              "Nmt",  "Precompiled", "BertNormalizer"};
  return std::ranges::count(kCharacters, type) > 0;
}

}  // namespace ocelli
