// A page that shows what a search found.
#pragma once

#include <span>
#include <string>

#include "ocelli/engine/search.h"

namespace ocelli {

// `title` says what was searched for. An image that is gone since it was indexed is shown by its
// name. Written atomically.
void write_gallery(const std::string& path, const std::string& title,
                   std::span<const FoundImage> images, const DecodeOptions& decode = {});

}  // namespace ocelli
