// The one-byte encodings that text is most often wrongly read in, as ftfy has them: in the Windows
// ones a byte without a character is the C1 control of its number, and byte 0x1A is U+FFFD.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ocelli {

class CodePage {
 public:
  // `upper` are the characters of bytes 0x80 to 0xFF.
  CodePage(std::string_view name, std::u32string_view upper, bool sloppy);

  std::string_view name() const { return name_; }
  bool sloppy() const { return sloppy_; }
  char32_t character(uint8_t byte) const { return characters_[byte]; }
  // The bytes of a text; null when a character has none.
  std::optional<std::string> encode(std::u32string_view text) const;

 private:
  std::string_view name_;
  bool sloppy_;
  std::array<char32_t, 256> characters_;
};

// In the order in which ftfy tries them: Latin-1 first, then Windows-1252.
std::span<const CodePage> code_pages();

}  // namespace ocelli
