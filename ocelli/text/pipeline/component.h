// What the parts of tokenizer.json share.
#pragma once

#include <string>

#include "ocelli/text/json_node.h"
#include "ocelli/text/pipeline/regex.h"

namespace ocelli {

// Throws unsupported: `type` is none that this version has.
[[noreturn]] void fail_component(const JsonNode& node, const char* what, const std::string& type);

// Throws corrupt_data when sequences stand in sequences without end.
void check_depth(const JsonNode& node);

// Throws unsupported when rules make a text absurdly long.
void check_growth(size_t bytes);

// {"String": ...} or {"Regex": ...}.
Pattern read_pattern(const JsonNode& node);

}  // namespace ocelli
