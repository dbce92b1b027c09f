// The pre-tokenizers of tokenizer.json: a text to the words that the model takes one by one.
// https://huggingface.co/docs/tokenizers/api/pre-tokenizers
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ocelli/text/json_node.h"

namespace ocelli {

struct Word {
  std::string text;
  bool first = false;  // the input begins with it, also before normalising
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Words that become empty are left out.
  virtual void apply(std::vector<Word>& words) const = 0;
};

// Null for null. Throws unsupported for a type that is not known, corrupt_data for wrong fields.
std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const JsonNode& node);

// Whether printable ASCII may be split word by word, each with the spaces before it, and gives the
// same words.
bool splits_words_alone(const JsonNode& node);

}  // namespace ocelli
