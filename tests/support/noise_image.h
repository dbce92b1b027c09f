// The image of pseudo-random bytes that the golden scripts of images make, too.
#pragma once

#include "ocelli/image/image.h"

namespace ocelli {

inline Image noise_image(int64_t height, int64_t width, uint32_t seed) {
  Image image{Tensor::empty({height, width, 3}, DType::u8), "noise"};
  auto* into = image.pixels.data<uint8_t>();
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    uint32_t v = static_cast<uint32_t>(i) * 2654435761u + seed * 40503u;
    v = (v ^ v >> 15) * 0x85EBCA6Bu;
    into[i] = static_cast<uint8_t>((v ^ v >> 13) >> 8);
  }
  return image;
}

}  // namespace ocelli
