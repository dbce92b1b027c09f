#include "ocelli/ops/linear.h"

#include <vector>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

LinearWeight::LinearWeight(Tensor weight, Tensor bias)
    : weight_(std::move(weight)), bias_(std::move(bias)), shape_(weight_.shape()) {
  check(shape_.rank() == 2, "linear: weight is {}; two dimensions are needed", shape_);
  check(!bias_.defined() || bias_.shape() == Shape{shape_[0]}, "linear: weight is {} but bias is {}",
        shape_, bias_.shape());
}

void LinearWeight::pack() {
  if (packed_) return;
  const View bias = bias_;
  packed_ = backend::current().pack_linear(weight_, bias_.defined() ? &bias : nullptr);
  if (packed_) weight_ = bias_ = Tensor();
}

namespace {

// The memory the output goes to: the residual's own where nobody else looks at it.
Tensor output_for(const Shape& shape, Tensor& residual, const char* op) {
  if (!residual.defined()) return Tensor::empty(shape);
  check(residual.shape() == shape, "{}: output is {} but residual is {}", op, shape,
        residual.shape());
  if (residual.is_unique() && residual.is_contiguous()) return residual;
  Tensor y = Tensor::empty(shape);
  return y;
}

}  // namespace

Tensor linear(const Tensor& x, const LinearWeight& weight, Epilogue epilogue) {
  const int64_t in = weight.in_features(), out = weight.out_features();
  check(x.rank() >= 1 && x.size(-1) == in, "linear: x is {} but weight is [{}, {}]", x.shape(), out,
        in);
  check(x.dtype() == DType::f32, "linear: x is {}; f32 is needed", x.dtype());
  Shape shape = x.shape();
  shape[-1] = out;
  const int64_t rows = x.numel() / std::max<int64_t>(in, 1);
  count_flops(2 * rows * in * out);
  const backend::Backend& device = backend::current();
  if (!weight.packed()) {
    Tensor y = Tensor::empty(shape);
    // [..., K] [K, N] with the weight repeated over the leading sizes.
    const Tensor flat = contiguous(x).view({rows, in});
    device.gemm(y.view({rows, out}), flat, weight.weight().transpose(0, 1), 1);
    if (weight.bias().defined()) y = y + weight.bias();
    if (epilogue.activation) y = unary(*epilogue.activation, y);
    if (epilogue.scale.defined()) y = y * epilogue.scale;
    if (epilogue.residual.defined()) y = y + epilogue.residual;
    return y;
  }
  const Tensor flat = x.can_view({rows, in}) && x.strides()[-1] == 1 ? x.view({rows, in})
                                                                  : contiguous(x).view({rows, in});
  Tensor residual = std::move(epilogue.residual);
  const Tensor y = output_for(shape, residual, "linear");
  const View scale = epilogue.scale;
  const Tensor residual_rows =
      residual.defined() ? contiguous(residual).view({rows, out}) : Tensor();
  const View residual_view = residual_rows;
  device.linear(y.view({rows, out}), flat, *weight.packed(),
                {epilogue.activation, epilogue.scale.defined() ? &scale : nullptr,
                 residual.defined() ? &residual_view : nullptr});
  return y;
}

Tensor matmul(const Tensor& a, const Tensor& b, float alpha) {
  check(a.rank() >= 2 && b.rank() >= 2 && a.size(-1) == b.size(-2), "matmul: {} times {}",
        a.shape(), b.shape());
  const int rank = std::max(a.rank(), b.rank());
  Shape lead;
  for (int i = 0; i < rank - 2; ++i) {
    const int64_t p = i < rank - a.rank() ? 1 : a.size(i - (rank - a.rank()));
    const int64_t q = i < rank - b.rank() ? 1 : b.size(i - (rank - b.rank()));
    check(p == q || p == 1 || q == 1, "matmul: {} times {}", a.shape(), b.shape());
    lead.push_back(p == 1 ? q : p);
  }
  const auto widened = [&](const Tensor& t) {
    Shape shape = lead;
    shape.push_back(t.size(-2));
    shape.push_back(t.size(-1));
    return t.expand(shape);
  };
  Shape shape = lead;
  shape.push_back(a.size(-2));
  shape.push_back(b.size(-1));
  const Tensor y = Tensor::empty(shape);
  count_flops(2 * y.numel() * a.size(-1));
  backend::current().gemm(y, widened(a), widened(b), alpha);
  return y;
}

}  // namespace ocelli
