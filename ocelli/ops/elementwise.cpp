#include "ocelli/ops/elementwise.h"

namespace ocelli {

Tensor unary(backend::Unary kind, const Tensor& x) {
  check(x.dtype() == DType::f32, "unary: x is {}; f32 is needed", x.dtype());
  const Tensor y = Tensor::empty(x.shape());
  backend::current().unary(kind, y, x);
  return y;
}

Tensor binary(backend::Binary kind, const Tensor& a, const Tensor& b) {
  check(a.dtype() == DType::f32 && b.dtype() == DType::f32, "binary: {} and {}; f32 is needed",
        a.dtype(), b.dtype());
  const int rank = std::max(a.rank(), b.rank());
  Shape shape;
  for (int i = rank; i >= 1; --i) {
    const int64_t p = i > a.rank() ? 1 : a.size(-i), q = i > b.rank() ? 1 : b.size(-i);
    check(p == q || p == 1 || q == 1, "binary: {} and {} do not broadcast", a.shape(), b.shape());
    shape.push_back(p == 1 ? q : p);
  }
  const Tensor y = Tensor::empty(shape);
  backend::current().binary(kind, y, a.expand(shape), b.expand(shape));
  return y;
}

Tensor operator*(const Tensor& a, float b) {
  return a * Tensor::full({}, b);
}
Tensor operator+(const Tensor& a, float b) {
  return a + Tensor::full({}, b);
}

}  // namespace ocelli
