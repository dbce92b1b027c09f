#include "ocelli/text/pipeline/component.h"

#include <algorithm>

namespace ocelli {

void fail_component(const JsonNode& node, const char* what, const std::string& type) {
  fail(ErrorCode::unsupported, "{}: the {} '{}' is none that this version has", node.place(), what,
       type.substr(0, 80));
}

void check_depth(const JsonNode& node) {
  constexpr int kDeepest = 16;
  if (std::ranges::count(node.place(), '[') > kDeepest) {
    fail(ErrorCode::corrupt_data, "{}: more than {} sequences in one another",
         node.place().substr(0, 200), kDeepest);
  }
}

void check_growth(size_t bytes) {
  constexpr size_t kMost = size_t{1} << 26;
  if (bytes > kMost) {
    fail(ErrorCode::unsupported, "tokenizer: its rules make {} bytes of a text, more than {}",
         bytes, kMost);
  }
}

Pattern read_pattern(const JsonNode& node) {
  if (node.has("Regex")) return Pattern::regex(node.require<std::string>("Regex"), node.place());
  return Pattern::literal(node.require<std::string>("String"));
}

}  // namespace ocelli
