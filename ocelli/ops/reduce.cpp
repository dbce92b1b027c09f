#include "ocelli/ops/reduce.h"

#include <algorithm>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

Tensor reduce(backend::Reduce kind, const Tensor& x, int dim) {
  check(x.dtype() == DType::f32, "reduce: x is {}; f32 is needed", x.dtype());
  const int64_t n = x.size(dim);
  check(n > 0 || kind == backend::Reduce::sum, "reduce: dimension {} of {} is empty", dim,
        x.shape());
  Tensor rows =
      x.unsqueeze(-1).transpose(dim < 0 ? dim - 1 : dim, -1).squeeze(dim < 0 ? dim - 1 : dim);
  Shape shape(std::span(rows.shape().begin(), static_cast<size_t>(rows.rank() - 1)));
  const Tensor y = Tensor::empty(shape);
  backend::current().reduce(kind, y, rows);
  if (kind == backend::Reduce::max || kind == backend::Reduce::min) {
    Tape::refuse("reduce (amax, amin)", {&x});
  } else if (Tape* tape = Tape::recording({&x})) {
    // Every summand gets dy; of a mean, its share.
    const float share = kind == backend::Reduce::mean ? 1 / static_cast<float>(n) : 1;
    tape->record("reduce", y, [=, at = Place(rows)](const Tensor& dy, Gradients& gradients) {
      const Tensor each = share == 1 ? dy : dy * share;
      gradients.add(at, each.unsqueeze(-1).expand(at.shape));
    });
  }
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x) {
  check(x.dtype() == DType::f32 && x.rank() >= 1, "softmax: x is {} {}", x.dtype(), x.shape());
  const Tensor y = Tensor::empty(x.shape());
  backend::current().softmax(y, x);
  if (Tape* tape = Tape::recording({&x})) {
    // dx = y (dy - sum(y dy))
    tape->record("softmax", y, [=, at = Place(x)](const Tensor& dy, Gradients& gradients) {
      gradients.add(at, y * (dy - sum(y * dy, -1).unsqueeze(-1)));
    });
  }
  return y;
}

Tensor sum(const Tensor& x, int dim) {
  return reduce(backend::Reduce::sum, x, dim);
}
Tensor mean(const Tensor& x, int dim) {
  return reduce(backend::Reduce::mean, x, dim);
}
Tensor amax(const Tensor& x, int dim) {
  return reduce(backend::Reduce::max, x, dim);
}
Tensor amin(const Tensor& x, int dim) {
  return reduce(backend::Reduce::min, x, dim);
}

namespace {

template <typename T>
void argmax_rows(const Tensor& x, int32_t* out) {
  const int64_t n = x.size(-1);
  for (int64_t row = 0; row < x.numel() / n; ++row) {
    const T* values = x.data<T>() + row * n;
    out[row] = static_cast<int32_t>(std::max_element(values, values + n) - values);
  }
}

}  // namespace

Tensor argmax(const Tensor& x) {
  check(x.rank() >= 1 && x.size(-1) > 0, "argmax: x is {}", x.shape());
  Tape::refuse("argmax", {&x});
  const Tensor in = contiguous(x);
  const Tensor y = Tensor::empty(
      Shape(std::span(x.shape().begin(), static_cast<size_t>(x.rank() - 1))), DType::i32);
  if (x.dtype() == DType::i32)
    argmax_rows<int32_t>(in, y.data<int32_t>());
  else
    argmax_rows<float>(in, y.data<int32_t>());
  return y;
}

}  // namespace ocelli
