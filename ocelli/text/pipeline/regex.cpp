#include "ocelli/text/pipeline/regex.h"

#include <unicode/regex.h>
#include <unicode/utf8.h>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

// Milliseconds, roughly, and bytes, that one text may cost.
constexpr int32_t kTimeLimit = 5000, kStackLimit = 32 << 20;

// ICU's \s, \w and \h are other sets than Oniguruma's.
std::string_view class_of(char c) {
  switch (c) {
    case 's': return "\\p{White_Space}";
    case 'S': return "\\P{White_Space}";
    case 'w': return "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]";
    case 'W': return "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]";
    case 'h': return "[0-9a-fA-F]";
    case 'H': return "[^0-9a-fA-F]";
    default: return {};
  }
}

std::string to_icu(const std::string& expression) {
  std::string result;
  int sets = 0;  // that are open
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c != '\\' || i + 1 == expression.size()) {
      // A line that begins behind the last \n of a text counts to ICU, not to Ruby.
      result += c == '^' && sets == 0 ? std::string("(?:\\A|(?<=\\n)(?!\\z))") : std::string(1, c);
      if (c == '[') ++sets;
      if (c == ']' && sets > 0) --sets;
      continue;
    }
    const char next = expression[++i];
    if (const std::string_view set = class_of(next); !set.empty()) {
      result += set;
    } else if (expression.compare(i, 3, "p{^") == 0) {
      result += "\\P{";
      i += 2;
    } else {
      result += {'\\', next};
    }
  }
  return result;
}

icu::UnicodeString utf16(std::string_view text) {
  return icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

// Positions of UTF-16 in the UTF-8 text it came from, asked for in rising order.
class Utf8Position {
 public:
  explicit Utf8Position(std::string_view text) : text_(text) {}
  size_t at(int64_t unit) {
    while (unit_ < unit && byte_ < text_.size()) {
      const auto first = static_cast<unsigned char>(text_[byte_]);
      byte_ += first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
      unit_ += first < 0xF0 ? 1 : 2;
    }
    return byte_;
  }

 private:
  std::string_view text_;
  size_t byte_ = 0;
  int64_t unit_ = 0;
};

std::vector<Span> find_literal(const std::string& literal, std::string_view text) {
  std::vector<Span> spans;
  if (literal.empty()) return spans;
  for (size_t at = 0; (at = text.find(literal, at)) != std::string_view::npos;) {
    spans.push_back({at, at + literal.size()});
    at += literal.size();
  }
  return spans;
}

}  // namespace

struct Pattern::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
  std::string place;
};

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::regex(const std::string& expression, const std::string& place) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError where{};
  auto compiled = std::make_shared<Compiled>();
  compiled->place = place;
  // In Ruby's syntax $ matches at the end of each line, and only \n ends one.
  compiled->pattern.reset(icu::RegexPattern::compile(
      utf16(to_icu(expression)), UREGEX_MULTILINE | UREGEX_UNIX_LINES, where, status));
  if (U_FAILURE(status)) {
    fail(ErrorCode::corrupt_data, "{}: the regular expression '{}' does not compile: {}", place,
         expression.substr(0, 80), u_errorName(status));
  }
  Pattern pattern;
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

std::vector<Span> Pattern::find_all(std::string_view text) const {
  if (text.empty()) return {};
  if (!compiled_) return find_literal(literal_, text);
  std::vector<Span> spans;
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeString source = utf16(text);
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(source, status));
  if (U_SUCCESS(status)) {
    matcher->setTimeLimit(kTimeLimit, status);
    matcher->setStackLimit(kStackLimit, status);
  }
  Utf8Position position(text);
  int64_t last_end = -1;
  while (U_SUCCESS(status) && matcher->find(status) && U_SUCCESS(status)) {
    const int64_t begin = matcher->start(status), end = matcher->end(status);
    if (begin == end && begin == last_end) continue;  // nothing, right behind a match
    last_end = end;
    const size_t first = position.at(begin);
    spans.push_back({first, position.at(end)});
  }
  if (U_FAILURE(status)) {
    fail(ErrorCode::unsupported, "{}: matching the regular expression failed: {}", compiled_->place,
         u_errorName(status));
  }
  return spans;
}

}  // namespace ocelli
