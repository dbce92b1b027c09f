// Image.resize of Pillow, bit for bit: two fixed-point passes, each with its
// sums rounded to 8 bits.
// https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c
#pragma once

#include "ocelli/image/image.h"

namespace ocelli {

// The numbers are PIL.Image.Resampling's.
enum class Filter { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

Filter parse_filter(std::string_view name);  // "bicubic", ...; throws invalid_argument

// The part of the resized image that is wanted; only it is computed.
struct Window {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

// Pixels of `window` of the image resized to height x width, as [window.height, window.width, 3].
Tensor resize_window(const Image& image, int64_t height, int64_t width, Filter filter,
                     const Window& window);

Image resize(const Image& image, int64_t height, int64_t width, Filter filter);

}  // namespace ocelli
