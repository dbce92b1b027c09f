// What the tokenizers need of Unicode, on UTF-8. Strings that reach these functions from a text are
// valid UTF-8: Tokenizer replaces what is not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

// `text` itself when it is valid UTF-8, else with U+FFFD for each maximal ill-formed part.
std::string valid_utf8(std::string_view text);

bool is_ascii(std::string_view text);
bool is_printable_ascii(std::string_view text);  // from the space to the tilde

// The code point at `at`, which moves behind it; U+FFFD for an ill-formed byte.
char32_t next_code_point(std::string_view text, size_t& at);
std::u32string to_code_points(std::string_view text);

void append_utf8(std::string& text, char32_t c);
std::string to_utf8(std::u32string_view points);

enum class NormalForm { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view text, NormalForm form);
// With the tables of Unicode 9, which huggingface/tokenizers has: later characters stay.
std::string normalize_9(std::string_view text, NormalForm form);

// Rust's str mapping character by character: no context, so every sigma becomes the same one.
std::string lower_each(std::string_view text);
// Python's str.lower: in context, so a sigma that ends a word becomes final.
std::string lower_in_context(std::string_view text);
std::string upper_in_context(std::string_view text);

// General categories. Those of punctuation, marks and controls are huggingface/tokenizers', whose
// tables end with Unicode 8 or 9: later characters are none of these.
bool is_white_space(char32_t c);  // the property White_Space
bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_decimal_digit(char32_t c);
bool is_punctuation(char32_t c);  // P*, and ASCII's !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~
bool is_mark(char32_t c);
bool is_nonspacing_mark(char32_t c);
bool is_control(char32_t c);       // Cc, Cf, Co
bool is_python_space(char32_t c);  // str.isspace: White_Space and U+001C..U+001F

std::string_view trim_left(std::string_view text, bool (*space)(char32_t));
std::string_view trim_right(std::string_view text, bool (*space)(char32_t));
// Python's " ".join(text.split()).
std::string collapse_python_spaces(std::string_view text);

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// Byte ranges of the extended grapheme clusters.
std::vector<std::string_view> graphemes(std::string_view text);

// GPT-2's printable stand-in for each byte, as UTF-8, and the way back: -1 for other characters.
const std::string& byte_symbol(uint8_t byte);
int byte_of_symbol(char32_t c);

}  // namespace ocelli
