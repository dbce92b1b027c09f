#include "tests/image/support.h"

#include <zlib.h>

#include <cstring>
#include <memory>

#include "ocelli/base/file.h"

namespace ocelli {

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(OCELLI_SOURCE_DIR) / "tests/image/data" / name;
}

nlohmann::json golden_json(const std::string& name) {
  return nlohmann::json::parse(read_file(golden(name)));
}

Image decode_bytes(const std::string& bytes, const DecodeOptions& options) {
  const auto copy = std::make_unique<std::byte[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return decode_image({copy.get(), bytes.size()}, "bytes", options);
}

Image noise_image(int64_t height, int64_t width, uint32_t seed) {
  Image image{Tensor::empty({height, width, 3}, DType::u8), "noise"};
  auto* into = image.pixels.data<uint8_t>();
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    uint32_t v = static_cast<uint32_t>(i) * 2654435761u + seed * 40503u;
    v = (v ^ v >> 15) * 0x85EBCA6Bu;
    into[i] = static_cast<uint8_t>((v ^ v >> 13) >> 8);
  }
  return image;
}

uint32_t crc_of(const Image& image) {
  return static_cast<uint32_t>(
      crc32(0, image.data(), static_cast<uInt>(image.height() * image.width() * 3)));
}

}  // namespace ocelli
