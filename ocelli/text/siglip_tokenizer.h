// SigLIP's text to ids as transformers' SiglipTokenizer (5.24) has it, on top of SentencePiece:
// lower case, no ASCII punctuation, one space between words; "</s>" behind the text, and as
// padding. Reference: transformers/models/siglip/tokenization_siglip.py
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ocelli/text/pipeline/added_tokens.h"
#include "ocelli/text/sentencepiece/sentencepiece.h"
#include "ocelli/text/tokenizer.h"

namespace ocelli {

struct SiglipOptions {
  std::string pad_token = "</s>", eos_token = "</s>", unk_token = "<unk>";
  std::vector<AddedToken> added_tokens;  // besides these
  bool lower_case = true;
  std::optional<Clean> clean;  // what is done to a text first
  int64_t context_length = 64;
  PadSide pad_side = PadSide::right, truncation_side = PadSide::right;
};

std::shared_ptr<const Tokenizer> make_siglip_tokenizer(SentencePieceFile file,
                                                       SiglipOptions options);

}  // namespace ocelli
