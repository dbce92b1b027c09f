// The tokenizer of a folder that open_clip saved: open_clip.get_tokenizer("local-dir:...").
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "ocelli/text/tokenizer.h"

namespace ocelli {

constexpr const char* kSimpleVocabulary = "bpe_simple_vocab_16e6.txt.gz";

// `config` is open_clip_config.json; null for a folder that has none (OpenAI's CLIP). Throws
// not_found, saying what to put where, when the folder holds no vocabulary.
std::shared_ptr<const Tokenizer> open_open_clip_tokenizer(const std::filesystem::path& folder,
                                                          const nlohmann::json& config);

}  // namespace ocelli
