// Decoding of JPEG, PNG, WebP, GIF (first frame), BMP, TIFF and PNM into 8-bit RGB, as Pillow's
// Image.open(...).convert("RGB") gives it: alpha is dropped, grey is repeated, CMYK is converted,
// 16-bit colour keeps its high byte, 16-bit grey is clipped at 255. ICC profiles are ignored. The
// format is told from the bytes, never from the name.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "ocelli/image/image.h"

namespace ocelli {

struct DecodeOptions {
  // Larger images are refused before memory is taken (Pillow's limit for decompression bombs).
  int64_t max_pixels = 178956970;
  // Turns the image as its EXIF orientation says (PIL.ImageOps.exif_transpose).
  bool apply_orientation = true;
};

// Throws corrupt_data or unsupported; `name` is the file, for messages.
Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                   const DecodeOptions& options = {});
Image decode_image_file(const std::filesystem::path& path, const DecodeOptions& options = {});

// "jpeg", "png", "webp", "gif", "bmp", "tiff", "pnm"; empty when the bytes begin like none of them.
std::string image_format(std::span<const std::byte> bytes);

}  // namespace ocelli
