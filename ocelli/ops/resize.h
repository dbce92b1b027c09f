// torch.nn.functional.interpolate for [B, H, W, C] feature maps.
#pragma once

#include "ocelli/backend/backend.h"

namespace ocelli {

using backend::Interpolation;

struct InterpolateOptions {
  Interpolation mode = Interpolation::bilinear;
  bool align_corners = false;
  bool antialias = false;  // bilinear and bicubic, align_corners false
  // PyTorch's scale_factor (height, width) when that is what the reference passes: the step is then
  // 1 / factor and not the ratio of the sizes. 0: by size.
  std::array<double, 2> scale_factor = {0, 0};
};

Tensor interpolate(const Tensor& x, int64_t height, int64_t width,
                   const InterpolateOptions& options = {});

}  // namespace ocelli
