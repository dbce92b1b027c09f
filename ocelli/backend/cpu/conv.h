// What the convolutions of backend/cpu share.
#pragma once

#include "ocelli/backend/cpu/cpu.h"

namespace ocelli::backend {

struct PackedConv final : Packed {
  enum class Kind { pointwise, depthwise, general } kind = Kind::general;
  Shape shape;                                              // [O, I / groups, kh, kw]
  std::vector<std::shared_ptr<const PackedLinear>> groups;  // K in the order (kh, kw, c)
  Tensor taps, bias;                                        // depthwise: [kh * kw, C] and [C]
};

}  // namespace ocelli::backend
