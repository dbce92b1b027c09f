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

uint32_t crc_of(const Image& image) {
  return static_cast<uint32_t>(
      crc32(0, image.data(), static_cast<uInt>(image.height() * image.width() * 3)));
}

}  // namespace ocelli
