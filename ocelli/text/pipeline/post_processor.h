// The post-processors of tokenizer.json, for one text: the special tokens round its ids.
// https://huggingface.co/docs/tokenizers/api/post-processors
#pragma once

#include <cstdint>
#include <vector>

#include "ocelli/text/json_node.h"

namespace ocelli {

struct SpecialIds {
  std::vector<int32_t> before, after;
};

// Nothing for null. Throws unsupported for a type that is not known, corrupt_data for wrong fields.
SpecialIds read_post_processor(const JsonNode& node);

}  // namespace ocelli
