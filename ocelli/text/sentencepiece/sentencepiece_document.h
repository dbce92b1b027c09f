// A SentencePiece file in the form of tokenizer.json, as transformers 5 makes one of
// tokenizer.model for classes that build no pipeline themselves (convert_slow_tokenizer.py,
// build_tokenizer_from_spm_proto).
#pragma once

#include <nlohmann/json.hpp>

#include "ocelli/text/sentencepiece/sentencepiece.h"

namespace ocelli {

// With `legacy` each part between added tokens begins with a space mark, else only the text. Throws
// unsupported for models that are neither unigram nor BPE ones.
nlohmann::json sentencepiece_document(const SentencePieceFile& file, bool legacy);

// The pieces with their scores, and the character map as a normalizer or null.
nlohmann::json scored_pieces(const SentencePieceFile& file);
nlohmann::json charsmap_normalizer(const SentencePieceFile& file);

}  // namespace ocelli
