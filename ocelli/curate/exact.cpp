#include "ocelli/curate/exact.h"

#include "ocelli/hub/digest.h"

namespace ocelli {

std::string file_hash(const std::string& path) {
  return hub::digest_of(path, std::string(64, '0'));
}

std::string pixel_hash(const Image& image) {
  const std::string size = fmt::format("{}x{}:", image.height(), image.width());
  return hub::sha256_of(
      {std::as_bytes(std::span(size)), std::as_bytes(image.pixels.values<uint8_t>())});
}

}  // namespace ocelli
