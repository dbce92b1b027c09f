// Reading what lies in a model folder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace ocelli {

// An object; null when there is no such file. Throws corrupt_data for anything else.
nlohmann::json read_json_object(const std::filesystem::path& path);

// The "model" of tokenizer.json from vocab.json + merges.txt, or from vocab.txt.
nlohmann::json read_bpe_files(const std::filesystem::path& vocab,
                              const std::filesystem::path& merges);
nlohmann::json read_word_piece_file(const std::filesystem::path& vocab);

// The bytes of a .gz file. Throws corrupt_data, also beyond `limit` bytes.
std::string read_gzip(const std::filesystem::path& path, size_t limit = size_t{64} << 20);

}  // namespace ocelli
