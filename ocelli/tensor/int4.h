// Weights in 4 bits: a group of numbers of a row shares a step in bf16, w = step * (number - 8).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "ocelli/tensor/dtype.h"

namespace ocelli {

// The number of a group that is largest without its sign becomes 0, which stands for -8.
struct Int4Group {
  BFloat16 step;
  float inverse = 0;  // of a step whose inverse is no float all numbers stand for 0

  explicit Int4Group(std::span<const float> group) {
    float most = 0;
    for (const float w : group) most = std::abs(w) > std::abs(most) ? w : most;
    step = to_bfloat16(most / -8);
    const float s = to_float(step);
    if (std::abs(s) >= std::numeric_limits<float>::min()) inverse = 1 / s;
  }

  // In this order NaN becomes a number, too.
  uint8_t number(float w) const {
    const float q = std::max(-8.0f, std::min(7.0f, std::nearbyint(w * inverse)));
    return static_cast<uint8_t>(static_cast<int>(q) + 8);
  }
};

}  // namespace ocelli
