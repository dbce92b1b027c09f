// CLIP's byte-level BPE with Hugging Face's rules (CLIPTokenizerFast): NFC, runs of white space to
// one space, lower case, no repair of the text. Sennrich et al., arXiv 1508.07909.
#pragma once

#include <map>
#include <unordered_map>

#include "ocelli/text/tokenizer.h"

namespace ocelli {

struct ClipBpeFiles {
  std::unordered_map<std::string, int32_t> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  std::string pad_token = "<|endoftext|>";
  int64_t context_length = 77;
  std::string name;  // for messages
};

// Throws corrupt_data when the special tokens or a byte are missing from the vocabulary.
std::shared_ptr<const Tokenizer> make_clip_bpe(ClipBpeFiles files);

}  // namespace ocelli
