#include "ocelli/text/unicode.h"

#include <unicode/brkiter.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <array>
#include <memory>
#include <unordered_map>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

icu::UnicodeString utf16(std::string_view text) {
  return icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

void check_icu(UErrorCode status) {
  if (U_FAILURE(status)) fail(ErrorCode::internal, "text: ICU: {}", u_errorName(status));
}

const icu::Normalizer2& normalizer_of(NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case NormalForm::nfc: normalizer = icu::Normalizer2::getNFCInstance(status); break;
    case NormalForm::nfd: normalizer = icu::Normalizer2::getNFDInstance(status); break;
    case NormalForm::nfkc: normalizer = icu::Normalizer2::getNFKCInstance(status); break;
    case NormalForm::nfkd: normalizer = icu::Normalizer2::getNFKDInstance(status); break;
  }
  check_icu(status);
  return *normalizer;
}

std::string normalize_with(const icu::Normalizer2& normalizer, std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeString result = normalizer.normalize(utf16(text), status);
  check_icu(status);
  std::string utf8;
  return result.toUTF8String(utf8);
}

// Whether a character of these categories was one in that version of Unicode.
bool is_of(char32_t c, uint32_t categories, uint8_t version) {
  const auto point = static_cast<UChar32>(c);
  if (!(U_GET_GC_MASK(point) & categories)) return false;
  UVersionInfo age;
  u_charAge(point, age);
  return age[0] < version || (age[0] == version && age[1] == 0);
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  check(text.size() < (size_t{1} << 30), "text: {} bytes are more than this version takes",
        text.size());
  if (is_ascii(text)) return std::string(text);
  size_t at = 0;
  while (at < text.size()) {
    const size_t before = at;
    if (next_code_point(text, at) == 0xFFFD && text.substr(before, at - before) != "\uFFFD") {
      std::string valid;
      return utf16(text).toUTF8String(valid);
    }
  }
  return std::string(text);
}

bool is_ascii(std::string_view text) {
  unsigned char bits = 0;
  for (const char c : text) bits |= static_cast<unsigned char>(c);
  return bits < 0x80;
}

bool is_printable_ascii(std::string_view text) {
  bool printable = true;
  for (const char c : text) printable &= c >= ' ' && c <= '~';
  return printable;
}

char32_t next_code_point(std::string_view text, size_t& at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) {
    ++at;
    return first;
  }
  UChar32 c;
  auto i = static_cast<int64_t>(at);
  U8_NEXT_OR_FFFD(text.data(), i, static_cast<int64_t>(text.size()), c);
  at = static_cast<size_t>(i);
  return static_cast<char32_t>(c);
}

std::u32string to_code_points(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  for (size_t at = 0; at < text.size();) points.push_back(next_code_point(text, at));
  return points;
}

void append_utf8(std::string& text, char32_t c) {
  char bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  UBool wrong = false;
  U8_APPEND(bytes, length, U8_MAX_LENGTH, static_cast<UChar32>(c), wrong);
  text += wrong ? std::string_view("\uFFFD") : std::string_view(bytes, length);
}

std::string to_utf8(std::u32string_view points) {
  std::string text;
  for (const char32_t c : points) append_utf8(text, c);
  return text;
}

std::string normalize(std::string_view text, NormalForm form) {
  return normalize_with(normalizer_of(form), text);
}

std::string normalize_9(std::string_view text, NormalForm form) {
  static const icu::UnicodeSet kSet = [] {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet set(UNICODE_STRING_SIMPLE("[:age=9.0:]"), status);
    check_icu(status);
    set.freeze();
    return set;
  }();
  static const std::array<icu::FilteredNormalizer2, 4> kForms = {
      icu::FilteredNormalizer2(normalizer_of(NormalForm::nfc), kSet),
      icu::FilteredNormalizer2(normalizer_of(NormalForm::nfd), kSet),
      icu::FilteredNormalizer2(normalizer_of(NormalForm::nfkc), kSet),
      icu::FilteredNormalizer2(normalizer_of(NormalForm::nfkd), kSet)};
  return normalize_with(kForms[static_cast<size_t>(form)], text);
}

std::string lower_each(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c < 0x80) {
      lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    } else if (c == 0x130) {
      lower += "i\u0307";  // the one character whose lower case is two
    } else {
      append_utf8(lower, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
    }
  }
  return lower;
}

std::string lower_in_context(std::string_view text) {
  if (is_ascii(text)) return lower_each(text);
  std::string lower;
  return utf16(text).toLower(icu::Locale::getRoot()).toUTF8String(lower);
}

std::string upper_in_context(std::string_view text) {
  std::string upper;
  return utf16(text).toUpper(icu::Locale::getRoot()).toUTF8String(upper);
}

bool is_white_space(char32_t c) {
  return u_isUWhiteSpace(static_cast<UChar32>(c));
}
bool is_letter(char32_t c) {
  return U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_L_MASK;
}
bool is_number(char32_t c) {
  return U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_N_MASK;
}
bool is_decimal_digit(char32_t c) {
  return u_charType(static_cast<UChar32>(c)) == U_DECIMAL_DIGIT_NUMBER;
}
bool is_mark(char32_t c) {
  return is_of(c, U_GC_M_MASK, 9);
}
bool is_nonspacing_mark(char32_t c) {
  return is_of(c, U_GC_MN_MASK, 8);
}
bool is_control(char32_t c) {
  return is_of(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK, 8);
}
bool is_punctuation(char32_t c) {
  if (c < 0x80) return c > ' ' && c < 0x7F && !u_isalnum(static_cast<UChar32>(c));
  return is_of(c, U_GC_P_MASK, 8);
}
bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::string_view trim_left(std::string_view text, bool (*space)(char32_t)) {
  for (size_t at = 0; at < text.size();) {
    const size_t before = at;
    if (!space(next_code_point(text, at))) return text.substr(before);
  }
  return {};
}

std::string_view trim_right(std::string_view text, bool (*space)(char32_t)) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    if (!space(next_code_point(text, at))) end = at;
  }
  return text.substr(0, end);
}

std::string collapse_python_spaces(std::string_view text) {
  std::string result;
  bool pending = false;
  for (size_t at = 0; at < text.size();) {
    const size_t before = at;
    if (is_python_space(next_code_point(text, at))) {
      pending = !result.empty();
      continue;
    }
    if (pending) result += ' ';
    pending = false;
    result += text.substr(before, at - before);
  }
  return result;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (size_t at; !from.empty() && (at = text.find(from)) != std::string_view::npos;) {
    result += text.substr(0, at);
    result += to;
    text.remove_prefix(at + from.size());
  }
  result += text;
  return result;
}

std::vector<std::string_view> graphemes(std::string_view text) {
  static const std::unique_ptr<icu::BreakIterator> kIterator = [] {
    UErrorCode status = U_ZERO_ERROR;
    std::unique_ptr<icu::BreakIterator> iterator(
        icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    check_icu(status);
    return iterator;
  }();
  std::vector<std::string_view> result;
  const icu::UnicodeString source = utf16(text);
  const std::unique_ptr<icu::BreakIterator> iterator(kIterator->clone());
  iterator->setText(source);
  size_t at = 0;
  for (int32_t i = 0, next; (next = iterator->next()) != icu::BreakIterator::DONE; i = next) {
    const size_t begin = at;
    for (int32_t j = i; j < next; j = source.moveIndex32(j, 1)) next_code_point(text, at);
    result.push_back(text.substr(begin, at - begin));
  }
  return result;
}

const std::string& byte_symbol(uint8_t byte) {
  static const auto kSymbols = [] {
    std::array<std::string, 256> symbols;
    char32_t next = 256;
    for (char32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      append_utf8(symbols[b], printable ? b : next++);
    }
    return symbols;
  }();
  return kSymbols[byte];
}

int byte_of_symbol(char32_t c) {
  static const auto kBytes = [] {
    std::array<int16_t, 324> bytes;
    bytes.fill(-1);
    for (int b = 0; b < 256; ++b) {
      size_t at = 0;
      bytes[next_code_point(byte_symbol(static_cast<uint8_t>(b)), at)] = static_cast<int16_t>(b);
    }
    return bytes;
  }();
  return c < kBytes.size() ? kBytes[c] : -1;
}

}  // namespace ocelli
