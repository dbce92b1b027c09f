// The model that belongs to an index.
#pragma once

#include "cli/common.h"
#include "ocelli/engine/index_images.h"

namespace ocelli::cli {

// The index's own model, unless `command` was given one; that must have the same weights.
std::shared_ptr<const OpenModel> open_model_of(const IndexState& state, const CLI::App& command,
                                               Common& common);

}  // namespace ocelli::cli
