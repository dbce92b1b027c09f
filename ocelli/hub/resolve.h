// From a model argument to a path: a folder, a file, `default`, or a hub id.
#pragma once

#include <filesystem>
#include <string>

#include "ocelli/base/progress.h"
#include "ocelli/hub/cache.h"

namespace ocelli::hub {

// An existing folder or file as it is; a hub id (`org/name[@revision]`) its snapshot in the cache,
// downloaded first unless it is there or settings.offline; `default` $OCELLI_DEFAULT_MODEL or the
// classifier that set-up fetched, `zero-shot` the two towers: the first that exists of
// ../share/ocelli/models/NAME beside the program's folder, the same below the prefix that was
// configured, models/NAME in the source. Throws not_found saying where it looked, and what
// download() throws.
std::filesystem::path resolve(const std::string& model, const Settings& settings,
                              const Progress& progress = {});

}  // namespace ocelli::hub
