// The normalizers of tokenizer.json: a text to the text that is split into words.
// https://huggingface.co/docs/tokenizers/api/normalizers
#pragma once

#include <memory>
#include <string>

#include "ocelli/text/json_node.h"

namespace ocelli {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // False when the beginning of the text was taken away, and not only become something else.
  virtual bool apply(std::string& text) const = 0;
};

// Null for null. Throws unsupported for a type that is not known, corrupt_data for wrong fields.
std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node);

// Whether printable ASCII may be normalised word by word, each with the spaces before it, and gives
// the same text.
bool normalizes_words_alone(const JsonNode& node);

}  // namespace ocelli
