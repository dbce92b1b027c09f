// Files that hold the same image exactly.
#pragma once

#include <span>
#include <string>

#include "ocelli/image/decode.h"

namespace ocelli {

// 64 hexadecimal digits of the file's bytes.
std::string file_hash(const std::string& path);

// Of size and pixels as they are shown: the same for a PNG and a TIFF of one picture.
std::string pixel_hash(const Image& image);

}  // namespace ocelli
