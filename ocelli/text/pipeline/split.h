// Cuts a text at the matches of a pattern; what becomes of the matches is the behaviour.
#pragma once

#include <string_view>
#include <vector>

#include "ocelli/text/json_node.h"
#include "ocelli/text/pipeline/regex.h"

namespace ocelli {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// Throws corrupt_data for an unknown name.
SplitBehavior read_behavior(const JsonNode& node);

// `matches` rise and do not overlap. With `invert`, what lies between them counts as the matches.
std::vector<Span> split(std::string_view text, const std::vector<Span>& matches,
                        SplitBehavior behavior, bool invert = false);

// A match for each character that `is_one`.
std::vector<Span> find_characters(std::string_view text, bool (*is_one)(char32_t));

}  // namespace ocelli
