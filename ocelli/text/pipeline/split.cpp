#include "ocelli/text/pipeline/split.h"

#include <algorithm>
#include <array>

#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

struct Part {
  Span span;
  bool match = false;
};

// The matches and what lies between them: all of the text, in order.
std::vector<Part> cover(std::string_view text, const std::vector<Span>& matches, bool invert) {
  std::vector<Part> parts;
  size_t end = 0;
  for (const Span& match : matches) {
    if (match.begin != end) parts.push_back({{end, match.begin}, invert});
    parts.push_back({match, !invert});
    end = match.end;
  }
  if (end != text.size()) parts.push_back({{end, text.size()}, invert});
  return parts;
}

// Joins a part to the one before it where join(part, previous was a match) says so.
template <typename Join>
std::vector<Span> join_parts(const std::vector<Part>& parts, Join join) {
  std::vector<Span> spans;
  bool previous = false;
  for (const Part& part : parts) {
    if (!spans.empty() && join(part, previous)) {
      spans.back().begin = std::min(spans.back().begin, part.span.begin);
      spans.back().end = std::max(spans.back().end, part.span.end);
    } else {
      spans.push_back(part.span);
    }
    previous = part.match;
  }
  return spans;
}

}  // namespace

SplitBehavior read_behavior(const JsonNode& node) {
  static const std::array<const char*, 5> kNames = {"Removed", "Isolated", "MergedWithPrevious",
                                                    "MergedWithNext", "Contiguous"};
  const auto name = node.require<std::string>("behavior");
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    fail(ErrorCode::corrupt_data, "{}: '{}' is no behavior of a split", node.place(),
         name.substr(0, 80));
  }
  return static_cast<SplitBehavior>(found - kNames.begin());
}

std::vector<Span> split(std::string_view text, const std::vector<Span>& matches,
                        SplitBehavior behavior, bool invert) {
  std::vector<Part> parts = cover(text, matches, invert);
  const auto attaches = [](const Part& part, bool previous) { return part.match && !previous; };
  switch (behavior) {
    case SplitBehavior::removed:
      std::erase_if(parts, [](const Part& part) { return part.match; });
      break;
    case SplitBehavior::isolated: break;
    case SplitBehavior::merged_with_previous: return join_parts(parts, attaches);
    case SplitBehavior::merged_with_next: {
      std::ranges::reverse(parts);
      std::vector<Span> spans = join_parts(parts, attaches);
      std::ranges::reverse(spans);
      return spans;
    }
    case SplitBehavior::contiguous:
      return join_parts(parts,
                        [](const Part& part, bool previous) { return part.match == previous; });
  }
  std::vector<Span> spans;
  for (const Part& part : parts) spans.push_back(part.span);
  return spans;
}

std::vector<Span> find_characters(std::string_view text, bool (*is_one)(char32_t)) {
  std::vector<Span> spans;
  for (size_t at = 0; at < text.size();) {
    const size_t before = at;
    if (is_one(next_code_point(text, at))) spans.push_back({before, at});
  }
  return spans;
}

}  // namespace ocelli
