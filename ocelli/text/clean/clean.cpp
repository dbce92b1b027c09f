#include "ocelli/text/clean/clean.h"

#include "ocelli/text/clean/ftfy.h"
#include "ocelli/text/clean/html_entities.h"
#include "ocelli/text/unicode.h"

namespace ocelli {

std::string clean_text(std::string_view source, Clean clean) {
  std::string text = unescape_html(unescape_html(fix_text(source)));
  if (clean == Clean::canonicalize) {
    std::string kept;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '_')
        kept += ' ';
      else if (byte >= 0x80 || !is_punctuation(byte))
        kept += c;
    }
    return collapse_python_spaces(lower_in_context(kept));
  }
  text = collapse_python_spaces(text);
  return clean == Clean::lower ? lower_in_context(text) : text;
}

}  // namespace ocelli
