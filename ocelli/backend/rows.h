// Shapes of rows, for the bodies of optional operations.
#pragma once

#include "ocelli/tensor/tensor.h"

namespace ocelli::backend {

// [C] seen as `shape`, which ends in C.
inline Tensor broadcast(const View& row, const Shape& shape) {
  Shape strides = shape;
  for (int i = 0; i < shape.rank(); ++i) strides[i] = 0;
  strides[-1] = row.strides[0];
  return Tensor::borrow({row.data, row.dtype, shape, strides});
}

// A tensor [..., 1] seen as [..., C].
inline Tensor spread(const Tensor& t, const Shape& shape) {
  return t.unsqueeze(-1).expand(shape);
}

inline Shape without_last(const Shape& shape) {
  return Shape(std::span(shape.begin(), static_cast<size_t>(shape.rank() - 1)));
}

}  // namespace ocelli::backend
