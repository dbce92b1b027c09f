#include "ocelli/curate/exact.h"

#include "ocelli/hub/digest.h"

namespace ocelli {

std::string pixel_hash(const Image& image) {
  const std::string size = fmt::format("{}x{}:", image.height(), image.width());
  return hub::sha256_of(
      {std::as_bytes(std::span(size)), std::as_bytes(image.pixels.values<uint8_t>())});
}

}  // namespace ocelli
