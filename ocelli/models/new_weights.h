// Models that begin: the tensors of a configuration without a checkpoint, with the names, shapes
// and initial values of transformers' classes (the _init_weights of models/vit, dinov2, clip,
// bert).
#pragma once

#include "ocelli/models/folder.h"

namespace ocelli {

// As ModelFolder::open; a folder with config.json and no checkpoint is given new weights, a
// function of the seed, and the log says so. Throws unsupported for a model_type of which no new
// one is made, and corrupt_data naming a size in the configuration that cannot be.
ModelFolder open_or_begin(const std::filesystem::path& path, uint64_t seed);

}  // namespace ocelli
