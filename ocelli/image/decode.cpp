#include "ocelli/image/decode.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "ocelli/base/mapped_file.h"
#include "ocelli/image/codecs.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

bool begins(std::span<const std::byte> bytes, std::string_view start, size_t at = 0) {
  return bytes.size() >= at + start.size() &&
         std::memcmp(bytes.data() + at, start.data(), start.size()) == 0;
}

// Orientations 2 to 8 as steps: mirror left-right, then turn by quarters.
Tensor turned(Tensor pixels, int orientation) {
  if (orientation <= 1 || orientation > 8) return pixels;
  const int64_t height = pixels.size(0), width = pixels.size(1);
  const bool swaps = orientation >= 5;
  const Tensor out = Tensor::empty({swaps ? width : height, swaps ? height : width, 3}, DType::u8);
  const uint8_t* from = pixels.data<uint8_t>();
  uint8_t* into = out.data<uint8_t>();
  for (int64_t y = 0; y < out.size(0); ++y) {
    for (int64_t x = 0; x < out.size(1); ++x, into += 3) {
      int64_t row = swaps ? x : y, column = swaps ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 6)
        row = height - 1 - row;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
        column = width - 1 - column;
      std::memcpy(into, from + (row * width + column) * 3, 3);
    }
  }
  return out;
}

// Pillow's rounding of a * b / 255.
int multiply_255(int a, int b) {
  const int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

}  // namespace

namespace codec {

void inks_to_rgb(const int inks[4], uint8_t* rgb) {
  const int light = 255 - inks[3];
  for (int c = 0; c < 3; ++c) {
    rgb[c] = static_cast<uint8_t>(std::clamp(light - multiply_255(inks[c], light), 0, 255));
  }
}

// TIFF header, then entries of 12 bytes in the first directory; tag 0x0112.
int exif_orientation(std::span<const std::byte> exif) {
  if (begins(exif, std::string_view("Exif\0\0", 6))) exif = exif.subspan(6);
  const bool little = begins(exif, "II*");
  if (!little && !begins(exif, std::string_view("MM\0*", 4))) return 1;
  const auto number = [&](size_t at, int size) -> uint32_t {
    uint32_t value = 0;
    for (int i = 0; i < size; ++i) {
      if (at + static_cast<size_t>(i) >= exif.size()) return 0;
      const auto byte = std::to_integer<uint32_t>(exif[at + static_cast<size_t>(i)]);
      value |= byte << (8 * (little ? i : size - 1 - i));
    }
    return value;
  };
  const size_t directory = number(4, 4);
  const uint32_t count = number(directory, 2);
  for (uint32_t i = 0; i < count; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry + 12 > exif.size()) break;
    if (number(entry, 2) != 0x0112) continue;
    const uint32_t value = number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace codec

std::string image_format(std::span<const std::byte> bytes) {
  if (begins(bytes, "\xff\xd8\xff")) return "jpeg";
  if (begins(bytes, "\x89PNG\r\n\x1a\n")) return "png";
  if (begins(bytes, "RIFF") && begins(bytes, "WEBP", 8)) return "webp";
  if (begins(bytes, "GIF87a") || begins(bytes, "GIF89a")) return "gif";
  if (begins(bytes, std::string_view("II*\0", 4)) || begins(bytes, std::string_view("MM\0*", 4)))
    return "tiff";
  if (begins(bytes, "BM") && bytes.size() >= 26) return "bmp";
  if (bytes.size() > 2 && bytes[0] == std::byte{'P'} && bytes[1] >= std::byte{'1'} &&
      bytes[1] <= std::byte{'6'} && std::isspace(std::to_integer<int>(bytes[2]))) {
    return "pnm";
  }
  return "";
}

Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                   const DecodeOptions& options) {
  if (bytes.empty()) fail(ErrorCode::corrupt_data, "{}: the file is empty", name);
  const codec::Source source{bytes, name, options};
  Image image;
  image.format = image_format(bytes);
  int orientation = 1;
  if (image.format == "jpeg")
    image.pixels = codec::decode_jpeg(source, &orientation);
  else if (image.format == "png")
    image.pixels = codec::decode_png(source, &orientation);
  else if (image.format == "webp")
    image.pixels = codec::decode_webp(source, &orientation);
  else if (image.format == "gif")
    image.pixels = codec::decode_gif(source);
  else if (image.format == "bmp")
    image.pixels = codec::decode_bmp(source);
  else if (image.format == "tiff")
    image.pixels = codec::decode_tiff(source, &orientation);
  else if (image.format == "pnm")
    image.pixels = codec::decode_pnm(source);
  else {
    std::string start;
    for (size_t i = 0; i < std::min<size_t>(bytes.size(), 12); ++i) {
      const auto c = std::to_integer<unsigned char>(bytes[i]);
      if (std::isprint(c))
        start += static_cast<char>(c);
      else
        start += fmt::format("\\x{:02x}", c);
    }
    fail(
        ErrorCode::corrupt_data,
        "{}: not an image that Ocelli reads (JPEG, PNG, WebP, GIF, BMP, TIFF, PNM); it starts with "
        "\"{}\"",
        name, start);
  }
  // Pillow turns a TIFF on loading it, asked or not.
  if (options.apply_orientation || image.format == "tiff")
    image.pixels = turned(image.pixels, orientation);
  return image;
}

Image decode_image_file(const std::filesystem::path& path, const DecodeOptions& options) {
  const MappedFile file(path);
  return decode_image(file.bytes(), path.string(), options);
}

}  // namespace ocelli
