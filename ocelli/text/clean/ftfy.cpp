#include "ocelli/text/clean/ftfy.h"

#include <algorithm>
#include <unordered_map>

#include "ocelli/text/clean/html_entities.h"
#include "ocelli/text/clean/mojibake.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

using Map = std::unordered_map<char32_t, std::u32string>;

// Ligatures of Latin letters, and pairs of letters that old encodings had as one.
const Map& ligatures() {
  static const Map kMap = {
      {U'Ĳ', U"IJ"},  {U'ĳ', U"ij"},  {U'ŉ', U"ʼn"}, {U'Ǆ', U"DŽ"}, {U'ǅ', U"Dž"}, {U'ǆ', U"dž"},
      {U'Ǉ', U"LJ"},  {U'ǈ', U"Lj"},  {U'ǉ', U"lj"}, {U'Ǌ', U"NJ"}, {U'ǋ', U"Nj"}, {U'ǌ', U"nj"},
      {U'Ǳ', U"DZ"},  {U'ǲ', U"Dz"},  {U'ǳ', U"dz"}, {U'ﬀ', U"ff"}, {U'ﬁ', U"fi"}, {U'ﬂ', U"fl"},
      {U'ﬃ', U"ffi"}, {U'ﬄ', U"ffl"}, {U'ﬅ', U"ſt"}, {U'ﬆ', U"st"}};
  return kMap;
}

// Full width and half width forms, and the ideographic space.
const Map& widths() {
  static const Map kMap = [] {
    Map map = {{0x3000, U" "}};
    for (char32_t c = 0xFF01; c < 0xFFF0; ++c) {
      const std::u32string other = to_code_points(normalize(to_utf8({&c, 1}), NormalForm::nfkc));
      if (other != std::u32string(1, c)) map.emplace(c, other);
    }
    return map;
  }();
  return kMap;
}

std::u32string translate(const std::u32string& text, const Map& map) {
  std::u32string result;
  for (const char32_t c : text) {
    const auto found = map.find(c);
    if (found == map.end())
      result += c;
    else
      result += found->second;
  }
  return result;
}

void uncurl_quotes(std::u32string& text) {
  for (char32_t& c : text) {
    if (c >= 0x201C && c <= 0x201F)
      c = '"';
    else if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B))
      c = '\'';
  }
}

void fix_line_breaks(std::u32string& text) {
  for (size_t at = 0; (at = text.find(U"\r\n", at)) != std::u32string::npos;) text.erase(at, 1);
  for (char32_t& c : text) {
    if (c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85) c = '\n';
  }
}

// ESC [ digits and semicolons letter: the colours of a terminal.
void remove_terminal_escapes(std::u32string& text) {
  const auto is_letter_of_ascii = [](char32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  for (size_t at = 0; (at = text.find(U"\x1b[", at)) != std::u32string::npos;) {
    size_t end = at + 2;
    while (end < text.size() && (text[end] == ';' || is_decimal_digit(text[end]))) ++end;
    if (end < text.size() && is_letter_of_ascii(text[end]))
      text.erase(at, end + 1 - at);
    else
      ++at;
  }
}

bool is_unwanted(char32_t c) {
  return c <= 8 || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

std::string fix_segment_once(const std::string& segment, bool unescape) {
  const std::string source = unescape ? unescape_html_cautiously(segment) : segment;
  std::u32string text = fix_encoding(to_code_points(source));
  text = fix_c1_controls(std::move(text));
  text = translate(translate(text, ligatures()), widths());
  uncurl_quotes(text);
  fix_line_breaks(text);
  remove_terminal_escapes(text);
  std::erase_if(text, is_unwanted);
  return normalize(to_utf8(text), NormalForm::nfc);
}

bool needs_nothing(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= ' ' && c <= '~' && c != '&') || c == '\n' || c == '\t' || c == '\f';
  });
}

// A line, or as much of it as is looked at in one.
std::string_view next_segment(std::string_view text) {
  constexpr int kLongest = 1'000'000;
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.size() < text.size()) line = text.substr(0, line.size() + 1);
  if (line.size() <= kLongest) return line;
  size_t at = 0;
  for (int count = 0; count < kLongest && at < line.size(); ++count) next_code_point(line, at);
  return line.substr(0, at);
}

}  // namespace

std::string fix_text(std::string_view text) {
  if (needs_nothing(text)) return std::string(text);
  std::string result;
  bool unescape = true;  // until a < says that the text is HTML and means its references
  while (!text.empty()) {
    std::string segment(next_segment(text));
    text.remove_prefix(segment.size());
    if (segment.find('<') != std::string::npos) unescape = false;
    while (true) {
      std::string fixed = fix_segment_once(segment, unescape);
      if (fixed == segment) break;
      segment = std::move(fixed);
    }
    result += segment;
  }
  return result;
}

}  // namespace ocelli
