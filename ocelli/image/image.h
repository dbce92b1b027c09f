// An image as decoders make it: 8-bit RGB, rows from top to bottom.
#pragma once

#include <string>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct Image {
  Tensor pixels;       // [H, W, 3] u8
  std::string format;  // "jpeg", "png", ...

  int64_t height() const { return pixels.size(0); }
  int64_t width() const { return pixels.size(1); }
  const uint8_t* data() const { return pixels.data<uint8_t>(); }
};

}  // namespace ocelli
