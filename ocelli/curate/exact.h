// Files that hold the same image exactly.
#pragma once

#include <string>

#include "ocelli/image/decode.h"

namespace ocelli {

// Of size and pixels as they are shown: the same for a PNG and a TIFF of one picture.
std::string pixel_hash(const Image& image);

}  // namespace ocelli
