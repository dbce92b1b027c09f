#include "ocelli/text/clean/html_entities.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

using Entities = std::unordered_map<std::string, std::string, StringHash, std::equal_to<>>;

constexpr std::string_view kTable =
#include "ocelli/text/clean/html_entities.inc"
    ;

Entities read_table() {
  Entities entities;
  std::string_view rest = kTable;
  while (!rest.empty()) {
    const size_t equals = rest.find('='), end = rest.find(' ');
    std::string text;
    for (size_t at = equals; at < end;) {
      uint32_t c = 0;
      const auto result = std::from_chars(rest.data() + at + 1, rest.data() + end, c, 16);
      append_utf8(text, c);
      at = static_cast<size_t>(result.ptr - rest.data());
    }
    entities.emplace(rest.substr(0, equals), std::move(text));
    rest.remove_prefix(end + 1);
  }
  return entities;
}

const Entities& entities() {
  static const Entities kEntities = read_table();
  return kEntities;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_alphanumeric(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// What browsers make of the numbers of C1 controls: Windows-1252.
char32_t windows_1252(char32_t c) {
  static constexpr std::array<char16_t, 32> kC1 = {
      0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021, 0x2C6,  0x2030, 0x160,
      0x2039, 0x152,  0x8D,   0x17D,  0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
      0x2013, 0x2014, 0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};
  return kC1[c - 0x80];
}

// The text of a numbered reference.
std::string numbered(std::string_view digits, int base) {
  uint64_t number = 0;
  for (const char digit : digits) {
    uint64_t value = 0;
    std::from_chars(&digit, &digit + 1, value, base);
    number = std::min<uint64_t>(number * static_cast<uint64_t>(base) + value, 0x110000);
  }
  const auto c = static_cast<char32_t>(number);
  std::string text;
  if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return "\uFFFD";
  if (c >= 0x80 && c <= 0x9F) {
    append_utf8(text, windows_1252(c));
    return text;
  }
  const bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7F;
  if (control || (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE) return {};
  append_utf8(text, c);
  return text;
}

// A reference: how long it is, its ampersand counted, and its text.
struct Reference {
  size_t length = 0;
  std::string text;
};

Reference read_number(std::string_view text) {
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const size_t begin = hex ? 3 : 2;
  size_t end = begin;
  while (end < text.size() && (hex ? is_hex(text[end]) : is_digit(text[end]))) ++end;
  if (end == begin) return {};
  std::string value = numbered(text.substr(begin, end - begin), hex ? 16 : 10);
  if (end < text.size() && text[end] == ';') ++end;
  return {end, std::move(value)};
}

// The longest name that there is; what follows it stays.
Reference read_name(std::string_view text) {
  constexpr int kLongest = 32;
  size_t end = 1;
  for (int count = 0; count < kLongest && end < text.size(); ++count) {
    if (std::string_view("\t\n\f <&#;").find(text[end]) != std::string_view::npos) break;
    next_code_point(text, end);
  }
  if (end == 1) return {};
  if (end < text.size() && text[end] == ';') ++end;
  const std::string_view name = text.substr(1, end - 1);
  if (const std::string* entity = html_entity(name)) return {end, *entity};
  for (size_t length = name.size() - 1; length > 1; --length) {
    const std::string* entity = html_entity(name.substr(0, length));
    if (entity) return {end, *entity + std::string(name.substr(length))};
  }
  return {end, std::string(text.substr(0, end))};
}

std::string to_upper_ascii(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return text;
}

// Names all in small letters, in capitals, for the text in capitals.
Entities read_capitals() {
  Entities capitals;
  for (const auto& [name, text] : entities()) {
    const std::string upper = to_upper_ascii(name);
    if (!name.ends_with(';') ||
        std::ranges::any_of(name, [](char c) { return c >= 'A' && c <= 'Z'; })) {
      continue;
    }
    const std::string reference = "&" + upper;
    if (unescape_html(reference) == reference) capitals.emplace(upper, upper_in_context(text));
  }
  return capitals;
}

Reference read_cautiously(std::string_view text) {
  static const Entities kCapitals = read_capitals();
  constexpr size_t kLongest = 24;
  const size_t begin = text.size() > 1 && text[1] == '#' ? 2 : 1;
  size_t end = begin;
  while (end < text.size() && end - begin < kLongest && is_alphanumeric(text[end])) ++end;
  if (end == begin || end == text.size() || text[end] != ';') return {};
  const std::string_view whole = text.substr(0, ++end), name = whole.substr(1);
  if (begin == 2) {
    std::string value = unescape_html(whole);
    // A number that was read in part.
    if (value.find(';') != std::string::npos) value = whole;
    return {end, std::move(value)};
  }
  if (const std::string* entity = html_entity(name)) return {end, *entity};
  const auto capital = kCapitals.find(name);
  return {end, capital == kCapitals.end() ? std::string(whole) : capital->second};
}

template <typename Read>
std::string replace_references(std::string_view text, Read read) {
  std::string result;
  while (true) {
    const size_t ampersand = text.find('&');
    result += text.substr(0, ampersand);
    if (ampersand == std::string_view::npos) return result;
    text.remove_prefix(ampersand);
    const Reference reference = read(text);
    result += reference.length > 0 ? reference.text : "&";
    text.remove_prefix(std::max<size_t>(reference.length, 1));
  }
}

}  // namespace

const std::string* html_entity(std::string_view name) {
  const auto found = entities().find(name);
  return found == entities().end() ? nullptr : &found->second;
}

std::string unescape_html(std::string_view text) {
  return replace_references(text, [](std::string_view rest) {
    return rest.size() > 1 && rest[1] == '#' ? read_number(rest) : read_name(rest);
  });
}

std::string unescape_html_cautiously(std::string_view text) {
  return replace_references(text, read_cautiously);
}

}  // namespace ocelli
