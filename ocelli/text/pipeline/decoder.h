// The decoders of tokenizer.json: tokens back to a text.
// https://huggingface.co/docs/tokenizers/api/decoders
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ocelli/text/json_node.h"

namespace ocelli {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// Null for null. Throws unsupported for a type that is not known, corrupt_data for wrong fields.
std::unique_ptr<const Decoder> make_decoder(const JsonNode& node);

// BERT's spaces before punctuation taken away: clean_up_tokenization_spaces of transformers.
std::string clean_up_spaces(std::string text);

}  // namespace ocelli
