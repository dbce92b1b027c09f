// PyTorch's .pt, .pth and .bin: the zip archive of today, the stream of pickles from before 1.6,
// and TorchScript archives (such as OpenAI's CLIP), whose tensors are taken without running their
// code. https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
//
// The state dict is the outermost dict that holds tensors, or the one below the first of the keys
// "state_dict", "model_state_dict", "model", "module", "model_ema", "teacher" that holds any.
// Dicts, lists and modules inside it join their names by dots.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "ocelli/tensor/source.h"

namespace ocelli {

// True when the bytes begin like one of the formats above.
bool is_torch_file(std::span<const std::byte> bytes);

// Throws corrupt_data or unsupported, naming the file. Tensors that lie uncompressed and compact in
// the file are views of its mapping.
std::shared_ptr<TensorSource> open_torch_file(const std::filesystem::path& path);
// From bytes that `owner` keeps alive; for tests and fuzzing.
std::shared_ptr<TensorSource> open_torch_file(std::span<const std::byte> bytes,
                                              std::shared_ptr<const void> owner, std::string name);

}  // namespace ocelli
