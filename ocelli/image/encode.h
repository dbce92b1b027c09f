// Images out: PNG for pictures that must be exact, JPEG for thumbnails.
#pragma once

#include <filesystem>
#include <string>

#include "ocelli/image/image.h"

namespace ocelli {

std::string encode_png(const Image& image);
std::string encode_jpeg(const Image& image, int quality = 85);
// Written to a temporary name and renamed.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace ocelli
