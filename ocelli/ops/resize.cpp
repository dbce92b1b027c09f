#include "ocelli/ops/resize.h"

namespace ocelli {

Tensor interpolate(const Tensor& x, int64_t height, int64_t width,
                   const InterpolateOptions& options) {
  check(x.rank() == 4 && x.dtype() == DType::f32 && x.size(1) > 0 && x.size(2) > 0,
        "interpolate: x is {} {}", x.dtype(), x.shape());
  check(height > 0 && width > 0, "interpolate: {} to {} x {}", x.shape(), height, width);
  check(!options.antialias || (!options.align_corners && options.mode != Interpolation::nearest),
        "interpolate: antialias goes with bilinear or bicubic and without align_corners");
  const Tensor y = Tensor::empty({x.size(0), height, width, x.size(3)});
  backend::Resize params{options.mode, options.align_corners, options.antialias, {0, 0}};
  for (size_t i = 0; i < 2; ++i) {
    if (options.scale_factor[i] > 0) params.step[i] = 1 / options.scale_factor[i];
  }
  backend::current().resize(y, x, params);
  return y;
}

}  // namespace ocelli
