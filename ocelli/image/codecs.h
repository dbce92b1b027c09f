// One decoder a format; decode.cpp chooses among them.
#pragma once

#include <span>
#include <string>

#include "ocelli/image/decode.h"

namespace ocelli::codec {

struct Source {
  std::span<const std::byte> bytes;
  const std::string& name;
  const DecodeOptions& options;

  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(bytes.data()); }
  [[noreturn]] void corrupt(std::string_view what) const {
    fail(ErrorCode::corrupt_data, "{}: {}", name, what);
  }
  // Memory for the pixels, after the size was checked against the limit.
  Tensor allocate(int64_t height, int64_t width) const {
    if (height <= 0 || width <= 0) corrupt("an image of no pixels");
    if (height > options.max_pixels / width) {
      fail(ErrorCode::invalid_argument,
           "{}: {} x {} pixels are more than the limit of {} (--max-pixels raises it)", name, width,
           height, options.max_pixels);
    }
    return Tensor::empty({height, width, 3}, DType::u8);
  }
};

// EXIF orientation (1 to 8) of JPEG's APP1 payload or PNG's eXIf chunk; 1 when there is none.
int exif_orientation(std::span<const std::byte> exif);

// Pillow's CMYK to RGB; 0 is no ink.
void inks_to_rgb(const int inks[4], uint8_t* rgb);

Tensor decode_jpeg(const Source& source, int* orientation);
Tensor decode_png(const Source& source, int* orientation);
Tensor decode_webp(const Source& source, int* orientation);
Tensor decode_gif(const Source& source);
Tensor decode_bmp(const Source& source);
Tensor decode_tiff(const Source& source, int* orientation);
Tensor decode_pnm(const Source& source);

}  // namespace ocelli::codec
