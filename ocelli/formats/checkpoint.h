// Opens a checkpoint, whatever its format: safetensors (one file or shards with an index),
// PyTorch's formats, npz. Files are told apart by their first bytes, not by their names.
#pragma once

#include <filesystem>
#include <memory>

#include "ocelli/formats/memory_source.h"
#include "ocelli/tensor/source.h"

namespace ocelli {

// The checkpoint file that a folder means: the first of model.safetensors, its index,
// open_clip_model.safetensors, pytorch_model.bin, its index, open_clip_pytorch_model.bin, ...; else
// the only file that looks like one. Throws not_found, or invalid_argument when several do.
std::filesystem::path find_checkpoint(const std::filesystem::path& folder);
bool has_checkpoint(const std::filesystem::path& folder);  // one or several

// `path` is a file or a folder.
std::shared_ptr<TensorSource> open_checkpoint(const std::filesystem::path& path);

}  // namespace ocelli
