// Small pictures of images for reports and figures.
#pragma once

#include <string>

#include "ocelli/image/decode.h"

namespace ocelli {

// The image, its aspect kept, in at most height x width; never enlarged.
Image thumbnail(const Image& image, int64_t height, int64_t width);
Image thumbnail(const std::string& path, int64_t height, int64_t width,
                const DecodeOptions& options);

namespace page {

// An <img> with a thumbnail inside, as JPEG. Throws what decoding throws.
std::string picture(const std::string& path, const DecodeOptions& decode);

}  // namespace page

}  // namespace ocelli
