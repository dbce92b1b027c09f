// Character references of HTML 5 to the characters they name, as Python's html.unescape has it.
// https://html.spec.whatwg.org/multipage/parsing.html#character-reference-state
#pragma once

#include <string>
#include <string_view>

namespace ocelli {

// The text of a named reference, with its semicolon if it is written with one ("amp;", "amp");
// null when there is none.
const std::string* html_entity(std::string_view name);

// Python's html.unescape: also references without a semicolon.
std::string unescape_html(std::string_view text);

// ftfy's: only references with a semicolon, and names in capitals ("&EACUTE;") where they are
// none of HTML's own.
std::string unescape_html_cautiously(std::string_view text);

}  // namespace ocelli
