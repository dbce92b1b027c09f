// What open_clip does to a text before a tokenizer sees it (open_clip/tokenizer.py, get_clean_fn).
#pragma once

#include <string>
#include <string_view>

namespace ocelli {

// All repair the text (ftfy), resolve HTML references twice and leave single spaces.
enum class Clean {
  whitespace,    // that alone
  lower,         // and lower case
  canonicalize,  // and no ASCII punctuation, _ being a space, and lower case
};

std::string clean_text(std::string_view text, Clean clean);

}  // namespace ocelli
