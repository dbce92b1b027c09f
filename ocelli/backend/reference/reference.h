// The oracle: each operation as its formula says, one element after the other, sums in double.
#pragma once

#include "ocelli/backend/backend.h"

namespace ocelli::backend {

class Reference : public Backend {
 public:
  const char* name() const override { return "reference"; }
  void copy(const View& y, const View& x) const override;
  void gemm(const View& y, const View& a, const View& b, float alpha) const override;
  void unary(Unary kind, const View& y, const View& x) const override;
  void binary(Binary kind, const View& y, const View& a, const View& b) const override;
  void reduce(Reduce kind, const View& y, const View& x) const override;
  void softmax(const View& y, const View& x) const override;
  void gather(const View& y, const View& table, const View& indices) const override;
  void conv2d(const View& y, const View& x, const View& weight, const View* bias,
              const Conv2d& params) const override;
  void pool2d(const View& y, const View& x, const Pool2d& params) const override;
  void resize(const View& y, const View& x, const Resize& params) const override;
  void unary_backward(Unary kind, const View& dx, const View& dy, const View& x) const override;
  void pool2d_backward(const View& dx, const View& dy, const View& x,
                       const Pool2d& params) const override;
};

// Offset of the index `linear`, counted row-major over `shape`.
inline int64_t offset_of(int64_t linear, const Shape& shape, const Shape& strides) {
  int64_t offset = 0;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    offset += linear % shape[d] * strides[d];
    linear /= shape[d];
  }
  return offset;
}

// One output's taps along one axis: first input index and weights (indices are clamped to the
// input by the caller). PyTorch's rule, aten/src/ATen/native/UpSample.h.
struct Taps {
  int64_t first = 0;
  std::vector<double> weights;
};
std::vector<Taps> resize_taps(int64_t in, int64_t out, const Resize& params, int axis);

}  // namespace ocelli::backend
