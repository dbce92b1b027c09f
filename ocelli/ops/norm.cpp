#include "ocelli/ops/norm.h"

#include <cmath>

#include "ocelli/backend/backend.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

void check_row(const char* op, const Tensor& x, const Tensor& row, const char* name) {
  check(x.dtype() == DType::f32 && x.rank() >= 1, "{}: x is {} {}", op, x.dtype(), x.shape());
  check(!row.defined() || row.shape() == Shape{x.size(-1)}, "{}: x is {} but {} is {}", op,
        x.shape(), name, row.shape());
}

const View* or_null(const Tensor& t, const View& view) {
  return t.defined() ? &view : nullptr;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  check_row("layer_norm", x, weight, "weight");
  check_row("layer_norm", x, bias, "bias");
  const Tensor y = Tensor::empty(x.shape());
  const View w = weight, b = bias;
  backend::current().layer_norm(y, x, or_null(weight, w), or_null(bias, b), eps);
  return y;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, float eps) {
  check_row("rms_norm", x, weight, "weight");
  const Tensor y = Tensor::empty(x.shape());
  const View w = weight;
  backend::current().rms_norm(y, x, or_null(weight, w), eps);
  return y;
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  float eps) {
  check_row("group_norm", x, weight, "weight");
  check_row("group_norm", x, bias, "bias");
  check(x.rank() >= 2 && groups >= 1 && x.size(-1) % groups == 0,
        "group_norm: {} groups over x of {}", groups, x.shape());
  const Tensor y = Tensor::empty(x.shape());
  const View w = weight, b = bias;
  backend::current().group_norm(y, x, or_null(weight, w), or_null(bias, b), groups, eps);
  return y;
}

Tensor normalize(const Tensor& x, float eps) {
  check_row("normalize", x, Tensor(), "");
  const Tensor in = contiguous(x), y = Tensor::empty(x.shape());
  const int64_t n = x.size(-1);
  parallel_for(n ? x.numel() / n : 0, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = in.data<float>() + row * n;
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += double{from[i]} * from[i];
      const auto factor = static_cast<float>(1 / std::max(std::sqrt(sum), double{eps}));
      for (int64_t i = 0; i < n; ++i) y.data<float>()[row * n + i] = from[i] * factor;
    }
  });
  return y;
}

}  // namespace ocelli
