#include "ocelli/text/clean/mojibake.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_set>

#include "ocelli/text/clean/code_pages.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

using Byte = unsigned char;

bool within(Byte byte, Byte low, Byte high) {
  return byte >= low && byte <= high;
}
bool one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

Byte byte_at(std::string_view bytes, size_t at) {
  return at < bytes.size() ? static_cast<Byte>(bytes[at]) : 0;
}

// A continuation that is likely where a space stands for 0xA0: not 0x85, an ellipsis.
bool is_likely(Byte byte) {
  return within(byte, 0x80, 0xBF) && byte != 0x85 && byte != 0xA0;
}
bool is_continuation(Byte byte) {
  return within(byte, 0x80, 0xBF);
}

// Length of a character of UTF-8 whose byte 0xA0 became a space, or 0.
size_t spaced_character(std::string_view bytes) {
  const Byte a = byte_at(bytes, 0), b = byte_at(bytes, 1), c = byte_at(bytes, 2);
  const Byte d = byte_at(bytes, 3);
  if (one_of(static_cast<char>(a), "\xC2\xC3\xC5\xCE\xD0\xD9") && b == ' ') return 2;
  if (within(a, 0xE2, 0xE3) && b == ' ' && is_likely(c)) return 3;
  if (within(a, 0xE0, 0xE3) && is_likely(b) && c == ' ') return 3;
  if (a != 0xF0) return 0;
  if (b == ' ' && is_continuation(c) && is_continuation(d)) return 4;
  if (is_continuation(b) && c == ' ' && is_continuation(d)) return 4;
  return is_continuation(b) && is_continuation(c) && d == ' ' ? 4 : 0;
}

bool has_spaced_character(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size(); ++at) {
    if (spaced_character(bytes.substr(at)) > 0) return true;
  }
  return false;
}

// "Ã la mode" is "à la mode": the space stays, unless it is in one of Portuguese's contractions.
std::string keep_word_spaces(std::string_view bytes) {
  static constexpr std::array<std::string_view, 5> kNot = {" ", "quele", "quela", "quilo", "s "};
  std::string result;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view rest = bytes.substr(at);
    const bool word = rest.starts_with("\xC3 ") && std::ranges::none_of(kNot, [&](auto ending) {
                        return rest.substr(2).starts_with(ending);
                      });
    result += word ? std::string_view("\xC3\xA0 ") : rest.substr(0, 1);
    at += word ? 2 : 1;
  }
  return result;
}

std::string restore_byte_a0(std::string_view source) {
  std::string bytes = keep_word_spaces(source);
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = spaced_character(std::string_view(bytes).substr(at));
    for (size_t i = at; i < at + length; ++i) {
      if (bytes[i] == ' ') bytes[i] = '\xA0';
    }
    at += std::max<size_t>(length, 1);
  }
  return bytes;
}

// Length of a character of UTF-8 of which a byte was lost (0x1A, and one may be ?), or 0.
size_t lossy_character(std::string_view bytes) {
  const auto lost = [&](size_t i) { return byte_at(bytes, i) == 0x1A || byte_at(bytes, i) == '?'; };
  const auto kept = [&](size_t i) {
    return byte_at(bytes, i) == 0x1A || is_continuation(byte_at(bytes, i));
  };
  const auto either = [&](size_t i) { return lost(i) || is_continuation(byte_at(bytes, i)); };
  const Byte a = byte_at(bytes, 0), b = byte_at(bytes, 1);
  if (within(a, 0xC2, 0xDF) && b == 0x1A) return 2;
  if (within(a, 0xC2, 0xC3) && b == '?') return 2;
  const bool pair = a == 0xED && within(b, 0xA0, 0xAF) && byte_at(bytes, 3) == 0xED &&
                    within(byte_at(bytes, 4), 0xB0, 0xBF);
  if (pair && ((lost(2) && either(5)) || (either(2) && lost(5)))) return 6;
  if (within(a, 0xE0, 0xEF) && ((lost(1) && kept(2)) || (kept(1) && lost(2)))) return 3;
  if (within(a, 0xF0, 0xF4) &&
      ((lost(1) && kept(2) && kept(3)) || (kept(1) && lost(2) && kept(3)) ||
       (kept(1) && kept(2) && lost(3)))) {
    return 4;
  }
  return a == 0x1A ? 1 : 0;
}

std::string replace_lossy(std::string_view bytes) {
  std::string result;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = lossy_character(bytes.substr(at));
    result += length > 0 ? std::string_view("\uFFFD") : bytes.substr(at, 1);
    at += std::max<size_t>(length, 1);
  }
  return result;
}

// UTF-8, also with characters beyond U+FFFF as two surrogates of three bytes, and 0xC0 0x80 for
// U+0000; null for anything else.
std::optional<std::u32string> decode_utf8(std::string_view bytes) {
  std::u32string text;
  for (size_t at = 0; at < bytes.size();) {
    const auto byte = [&](size_t i) { return byte_at(bytes, at + i); };
    const bool pair = byte(0) == 0xED && within(byte(1), 0xA0, 0xAF) && is_continuation(byte(2)) &&
                      byte(3) == 0xED && within(byte(4), 0xB0, 0xBF) && is_continuation(byte(5));
    if (pair) {
      text += static_cast<char32_t>(((byte(1) & 0xF) << 16) + ((byte(2) & 0x3F) << 10) +
                                    ((byte(4) & 0xF) << 6) + (byte(5) & 0x3F) + 0x10000);
      at += 6;
    } else if (byte(0) == 0xC0 && byte(1) == 0x80) {
      text += U'\0';
      at += 2;
    } else {
      const size_t before = at;
      const char32_t c = next_code_point(bytes, at);
      if (c == 0xFFFD && bytes.substr(before, at - before) != "\uFFFD") return std::nullopt;
      text += c;
    }
  }
  return text;
}

// Characters that a byte range is in the one-byte encodings that are like Latin-1.
std::unordered_set<char32_t> characters_of(Byte low, Byte high, std::u32string_view except = {}) {
  constexpr size_t kLikeLatin1 = 7;  // the first of code_pages()
  std::unordered_set<char32_t> characters;
  for (const CodePage& page : code_pages().first(kLikeLatin1)) {
    for (int byte = low; byte <= high; ++byte) {
      characters.insert(page.character(static_cast<Byte>(byte)));
    }
  }
  for (const char32_t c : except) characters.erase(c);
  return characters;
}

// Length of what looks like characters of UTF-8 read as Latin-1 or its like, or 0.
size_t detected(std::u32string_view text) {
  static const auto kSecond = characters_of(0xC2, 0xDF), kThird = characters_of(0xE0, 0xEF);
  static const auto kFourth = [] {
    auto characters = characters_of(0xF0, 0xF0);
    characters.merge(characters_of(0xF3, 0xF3));
    return characters;
  }();
  static const auto kContinuation = [] {
    auto characters = characters_of(0x80, 0xBF);
    characters.insert(' ');
    return characters;
  }();
  const auto follow = [&](size_t at, size_t count) {
    if (text.size() - at <= count) return false;
    return std::ranges::all_of(text.substr(at + 1, count),
                               [&](char32_t c) { return kContinuation.contains(c); });
  };
  size_t end = 0;
  while (end < text.size()) {
    const char32_t c = text[end];
    if (kSecond.contains(c) && follow(end, 1))
      end += 2;
    else if (kThird.contains(c) && follow(end, 2))
      end += 3;
    else if (kFourth.contains(c) && follow(end, 3))
      end += 4;
    else
      break;
  }
  return end;
}

// Parts that look like another encoding than the rest, each on its own.
std::u32string fix_parts(const std::u32string& text) {
  static const auto kStrict = characters_of(0x80, 0xBF, U"–—―‘’‚“”„•…");
  std::u32string result;
  for (size_t at = 0; at < text.size();) {
    const bool cut = at == 0 || !kStrict.contains(text[at - 1]);
    const size_t length = cut ? detected(std::u32string_view(text).substr(at)) : 0;
    std::u32string part = text.substr(at, std::max<size_t>(length, 1));
    at += part.size();
    // A part that is all of the text would come back here for ever.
    if (length > 0 && length < text.size() && is_bad(part)) part = fix_encoding(std::move(part));
    result += part;
  }
  return result;
}

// The text that `text`'s bytes in `page` are in UTF-8, or null.
std::optional<std::u32string> read_again(const CodePage& page, std::string bytes) {
  // In MacRoman it would take a dash and a space for one.
  if (page.name() != "macroman" && has_spaced_character(bytes)) bytes = restore_byte_a0(bytes);
  if (page.sloppy()) bytes = replace_lossy(bytes);
  return decode_utf8(bytes);
}

// Latin-1's C1 controls as Windows-1252; null when one has no character there.
std::optional<std::u32string> as_windows_1252(std::u32string text) {
  const CodePage& windows = code_pages()[1];
  for (char32_t& c : text) {
    if (c < 0x80 || c > 0x9F) continue;
    const char32_t other = windows.character(static_cast<Byte>(c));
    if (other == c) return std::nullopt;
    c = other;
  }
  return text;
}

bool is_c1(char32_t c) {
  return c >= 0x80 && c <= 0x9F;
}

// One step of fix_encoding; the text itself when there is none to take.
std::u32string fix_once(const std::u32string& text) {
  const bool ascii = std::ranges::all_of(text, [](char32_t c) { return c < 0x80; });
  if (ascii || !is_bad(text)) return text;
  bool latin_1 = false;
  for (const CodePage& page : code_pages()) {
    auto bytes = page.encode(text);
    if (!bytes) continue;
    latin_1 |= page.name() == "latin-1";
    if (auto fixed = read_again(page, std::move(*bytes))) return *fixed;
  }
  if (std::u32string fixed = fix_parts(text); fixed != text) return fixed;
  if (latin_1) {
    if (const auto fixed = as_windows_1252(text); fixed && *fixed != text) return *fixed;
  }
  return std::ranges::any_of(text, is_c1) ? fix_c1_controls(text) : text;
}

}  // namespace

std::u32string fix_encoding(std::u32string text) {
  while (true) {
    std::u32string fixed = fix_once(text);
    if (fixed == text) return text;
    text = std::move(fixed);
  }
}

std::u32string fix_c1_controls(std::u32string text) {
  for (char32_t& c : text) {
    if (is_c1(c)) c = code_pages()[1].character(static_cast<Byte>(c));
  }
  return text;
}

}  // namespace ocelli
