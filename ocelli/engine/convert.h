// A checkpoint of any format as safetensors of another number type.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>

#include "ocelli/base/progress.h"
#include "ocelli/formats/safetensors.h"

namespace ocelli {

struct Conversion {
  int64_t tensors = 0, bytes = 0;
};

// Writes `output`/model.safetensors with the tensors of `input` (a folder or file), floating ones
// as `dtype` or, without one, as they are, under their names, and copies the configuration,
// tokenizer and licence files of a model's folder beside it. What was written is read again and
// compared. When it fails, a folder that was made for it is removed. Throws invalid_argument when
// output is input.
Conversion convert(const std::filesystem::path& input, const std::filesystem::path& output,
                   std::optional<DType> dtype, const Progress& progress = {});

// Writes `folder`/packed.safetensors (engine/packed_weights.h) for the model there, in `precision`
// as open_model takes it. Returns its bytes.
int64_t pack(const std::filesystem::path& folder, const std::string& precision);

// Makes the folder `output` with the configuration, tokenizer and licence files of the model at
// `input`, then calls `write`, which adds the weights. When that fails, a folder that was made for
// it is removed. Throws invalid_argument, naming `command`, when output is input.
void write_model_folder(const std::filesystem::path& input, const std::filesystem::path& output,
                        const std::string& command, const std::function<void()>& write);

// Writes a safetensors file, reads it again and compares; throws io, without the file, when it
// differs.
void write_and_compare(const std::filesystem::path& file, std::span<const NamedTensor> tensors);

}  // namespace ocelli
