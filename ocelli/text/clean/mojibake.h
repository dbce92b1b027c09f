// Finds text that was read in the wrong encoding ("sÃ³" for "só") and reads it again in the right
// one: the rules of ftfy 6.3, by Robyn Speer (Apache-2.0), in code of our own.
// https://ftfy.readthedocs.io/en/latest/heuristic.html
#pragma once

#include <string>
#include <string_view>

namespace ocelli {

// Whether characters stand side by side that hardly do in text as it was meant.
bool is_bad(std::u32string_view text);

// ftfy.fix_encoding.
std::u32string fix_encoding(std::u32string text);

// C1 controls to what Windows-1252 has in their place.
std::u32string fix_c1_controls(std::u32string text);

}  // namespace ocelli
