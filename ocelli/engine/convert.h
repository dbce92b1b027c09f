// A checkpoint of any format as safetensors of another number type.
#pragma once

#include <filesystem>

#include "ocelli/base/progress.h"
#include "ocelli/tensor/dtype.h"

namespace ocelli {

struct Conversion {
  int64_t tensors = 0, bytes = 0;
};

// Writes `output`/model.safetensors with the tensors of `input` (a folder or file), floating ones
// as `dtype`, under their names, and copies the configuration, tokenizer and licence files of a
// model's folder beside it. What was written is read again and compared. When it fails, a folder
// that was made for it is removed. Throws invalid_argument when output is input.
Conversion convert(const std::filesystem::path& input, const std::filesystem::path& output,
                   DType dtype, const Progress& progress = {});

}  // namespace ocelli
