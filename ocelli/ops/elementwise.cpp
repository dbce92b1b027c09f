#include "ocelli/ops/elementwise.h"

#include "ocelli/ops/tape.h"

namespace ocelli {

using backend::Unary;

Tensor unary(backend::Unary kind, const Tensor& x) {
  check(x.dtype() == DType::f32, "unary: x is {}; f32 is needed", x.dtype());
  const Tensor y = Tensor::empty(x.shape());
  backend::current().unary(kind, y, x);
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("unary", y, [=](const Tensor& dy, Gradients& gradients) {
      const Tensor dx = Tensor::empty(x.shape());
      backend::current().unary_backward(kind, dx, dy, x);
      gradients.add(x, dx);
    });
  }
  return y;
}

namespace {

using backend::Binary;

// a + b: dy;  a - b: dy;  a b: dy b;  a / b: dy / b
Tensor left_gradient(Binary kind, const Tensor& b, const Tensor& dy) {
  return kind == Binary::mul ? dy * b : kind == Binary::div ? dy / b : dy;
}

// a + b: dy;  a - b: -dy;  a b: dy a;  a / b: -dy a / b^2
Tensor right_gradient(Binary kind, const Tensor& a, const Tensor& b, const Tensor& dy) {
  if (kind == Binary::add) return dy;
  if (kind == Binary::mul) return dy * a;
  return unary(Unary::neg, kind == Binary::sub ? dy : dy * a / (b * b));
}

}  // namespace

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
  const Tensor y = Tensor::empty(shape), left = a.expand(shape), right = b.expand(shape);
  backend::current().binary(kind, y, left, right);
  if (kind == backend::Binary::maximum || kind == backend::Binary::minimum) {
    Tape::refuse("binary (maximum, minimum)", {&a, &b});
  } else if (Tape* tape = Tape::recording({&a, &b})) {
    const Place a_at = left, b_at = right;
    const bool needs = kind == backend::Binary::mul || kind == backend::Binary::div;
    const Tensor p = needs ? left : Tensor(), q = needs ? right : Tensor();
    tape->record("binary", y, [=](const Tensor& dy, Gradients& gradients) {
      if (gradients.wants(a_at)) gradients.add(a_at, left_gradient(kind, q, dy));
      if (gradients.wants(b_at)) gradients.add(b_at, right_gradient(kind, p, q, dy));
    });
  }
  return y;
}

Tensor operator*(const Tensor& a, float b) {
  return a * Tensor::full({}, b);
}
Tensor operator+(const Tensor& a, float b) {
  return a + Tensor::full({}, b);
}

}  // namespace ocelli
