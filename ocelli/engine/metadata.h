// Lines of JSON that say which image each row of a table of embeddings is of (exchange.h).
#pragma once

#include <string_view>

#include "ocelli/index/catalogue.h"

namespace ocelli {

// A record for each line, its path as it stands there. Throws corrupt_data for what is no JSON
// object, invalid_argument for one that names no image, naming the line.
std::vector<ImageRecord> parse_metadata(std::string_view text, const std::string& name);

}  // namespace ocelli
