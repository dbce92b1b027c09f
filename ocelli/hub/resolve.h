// From a model argument to a path: a folder, a file, `default`, or a hub id.
#pragma once

#include <filesystem>
#include <string>

#include "ocelli/base/progress.h"
#include "ocelli/hub/cache.h"

namespace ocelli::hub {

// An existing folder or file as it is; `default` the model that set-up fetched; a hub id
// (`org/name[@revision]`) its snapshot in the cache, downloaded first unless it is there or
// settings.offline. Throws not_found saying where it looked, and what download() throws.
std::filesystem::path resolve(const std::string& model, const Settings& settings,
                              const Progress& progress = {});

// The first that exists of $OCELLI_DEFAULT_MODEL, ../share/ocelli/models/default beside the
// program's folder, the same below the prefix that was configured, models/default in the source.
std::filesystem::path default_model();

}  // namespace ocelli::hub
