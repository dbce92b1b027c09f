// Tokenizers from the files that transformers' from_pretrained reads.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "ocelli/text/tokenizer.h"

namespace ocelli {

// What open_clip adds when it uses one.
struct TransformersOptions {
  std::optional<Clean> clean;
  int64_t context_length = 0;  // 0: what the files say
};

// Null when the folder holds no vocabulary of a kind that is read.
std::shared_ptr<const Tokenizer> open_transformers_tokenizer(const std::filesystem::path& folder,
                                                             const TransformersOptions& options);

// CLIP's vocabulary out of the same files, for open_clip's own tokenizer: a "vocab" and "merges";
// null when there is none.
nlohmann::json read_clip_model(const std::filesystem::path& folder);

}  // namespace ocelli
