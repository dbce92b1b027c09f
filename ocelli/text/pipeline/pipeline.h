// The interpreter of tokenizer.json: added tokens, normalizer, pre-tokenizer, model,
// post-processor, decoder. What is matched: huggingface/tokenizers 0.23.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "ocelli/text/tokenizer.h"

namespace ocelli {

// What tokenizer.json itself does not say, or says differently from the files beside it.
struct PipelineOptions {
  std::string pad_token, bos_token, eos_token, unk_token;  // empty: none
  std::string before_token, after_token;  // round a text, instead of the post-processor's
  std::string word_end;                   // in a decoded text a space: CLIP's </w>
  bool clean_up_spaces = false;           // clean_up_tokenization_spaces of transformers
  std::optional<Clean> clean;             // what is done to a text first
  int64_t context_length = 0;
  PadSide pad_side = PadSide::right, truncation_side = PadSide::right;
};

// `document` has the fields of tokenizer.json and comes from the file `name`. Throws corrupt_data,
// or unsupported for parts that are not known.
std::shared_ptr<const Tokenizer> make_pipeline(const nlohmann::json& document,
                                               const std::string& name,
                                               const PipelineOptions& options);

}  // namespace ocelli
