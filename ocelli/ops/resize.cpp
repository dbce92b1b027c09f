#include "ocelli/ops/resize.h"

#include "ocelli/ops/linear.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

// What resizing one axis does to a column of it, [out, in]: to those of the unit matrix.
Tensor axis_matrix(int64_t in, int64_t out, const backend::Resize& params, size_t axis) {
  const Tensor unit = Tensor::zeros({1, in, 1, in}), matrix = Tensor::empty({1, out, 1, in});
  for (int64_t i = 0; i < in; ++i) unit.data<float>()[i * in + i] = 1;
  backend::Resize alone = params;
  alone.step = {params.step[axis], 0};
  backend::current().resize(matrix, unit, alone);
  return matrix.view({out, in});
}

// y = R x C^T, so dx = R^T dy C.
Tensor resize_backward(const Shape& x, const Tensor& dy, const backend::Resize& params) {
  const Tensor rows = axis_matrix(x[1], dy.size(1), params, 0);
  const Tensor columns = axis_matrix(x[2], dy.size(2), params, 1);
  const int64_t batch = x[0], channels = x[3], height = dy.size(1), width = dy.size(2);
  const Tensor by_row =
      matmul(rows.transpose(0, 1), contiguous(dy).view({batch, height, width * channels}));
  return matmul(columns.transpose(0, 1), by_row.view({batch, x[1], width, channels}));
}

}  // namespace

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
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("interpolate", y, [=](const Tensor& dy, Gradients& gradients) {
      gradients.add(x, resize_backward(x.shape(), dy, params));
    });
  }
  return y;
}

}  // namespace ocelli
