// ftfy.fix_text with its defaults, which open_clip applies to every text: HTML references,
// mojibake, ligatures, widths, quotes, line breaks, terminal escapes, control characters, NFC. What
// is matched: ftfy 6.3 by Robyn Speer (Apache-2.0), https://ftfy.readthedocs.io
#pragma once

#include <string>
#include <string_view>

namespace ocelli {

// `text` is valid UTF-8.
std::string fix_text(std::string_view text);

}  // namespace ocelli
