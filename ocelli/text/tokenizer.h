// Text to token ids as the reference tokenizers give them, and back; docs/tokenizers.md.
// What is matched: transformers 5 with huggingface/tokenizers and SentencePiece, open_clip 3.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ocelli/tensor/tensor.h"
#include "ocelli/text/clean/clean.h"

namespace ocelli {

enum class PadSide { right, left };

struct TokenizerInfo {
  std::string kind;            // "BPE", "WordPiece", "Unigram", "WordLevel", "SentencePiece"
  int64_t vocab_size = 0;      // the largest id + 1
  int64_t context_length = 0;  // 0: the files name none
  PadSide pad_side = PadSide::right;
  PadSide truncation_side = PadSide::right;  // the side whose tokens are dropped
  int32_t pad_id = 0;
  std::optional<int32_t> bos_id, eos_id, unk_id;
};

struct BatchOptions {
  int64_t context_length = 0;   // 0: the tokenizer's own; texts beyond it are truncated
  bool pad_to_longest = false;  // instead of to context_length
};

struct TokenBatch {
  Tensor ids;             // [B, T] i32
  Tensor mask;            // [B, T] i32, 1 where a token stands, 0 where padding does
  int64_t truncated = 0;  // texts that were longer than the context
};

// Safe to use from many threads at once. Bytes that are not UTF-8 count as U+FFFD.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  const TokenizerInfo& info() const { return info_; }

  // All ids, special tokens included, not truncated.
  std::vector<int32_t> encode(std::string_view text) const;

  // Truncated and padded. Truncation drops tokens of the text and keeps the special ones. Throws
  // when neither the options nor the tokenizer say a context length and pad_to_longest is not set.
  TokenBatch encode_batch(std::span<const std::string> texts,
                          const BatchOptions& options = {}) const;

  // The text of ids. Throws invalid_argument for an id outside the vocabulary.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;

  virtual std::optional<int32_t> token_to_id(std::string_view token) const = 0;

 protected:
  // Appends the ids of the text alone, which is valid UTF-8 and was cleaned.
  virtual void append_ids(std::string_view text, std::vector<int32_t>& ids) const = 0;
  // Puts the special tokens round the ids of a text.
  virtual std::vector<int32_t> with_special(std::vector<int32_t> ids) const;

  TokenizerInfo info_;
  std::vector<int32_t> prefix_, suffix_;  // special tokens before and after a text
  std::optional<Clean> clean_;            // what is done to a text first

 private:
  std::vector<int32_t> text_ids(std::string_view text) const;
  std::vector<int32_t> encode_truncated(std::string_view text, int64_t length, bool& cut) const;
};

// The tokenizer of a model folder, with the rules of the library that the folder is for:
// - open_clip_config.json without a transformers config.json: open_clip's. Its own tokenizer reads
//   bpe_simple_vocab_16e6.txt.gz, or CLIP's vocabulary from the files below.
// - else transformers': by tokenizer_config.json or config.json the class, by tokenizer.json,
//   vocab.json + merges.txt, vocab.txt, spiece.model, sentencepiece.bpe.model or tokenizer.model
//   the vocabulary.
// - bpe_simple_vocab_16e6.txt.gz alone: OpenAI's CLIP.
// Throws not_found with the list of what was looked for, corrupt_data, or unsupported.
std::shared_ptr<const Tokenizer> open_tokenizer(const std::filesystem::path& folder);

}  // namespace ocelli
