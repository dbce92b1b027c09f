#include "ocelli/ops/linear.h"

#include <vector>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

LinearWeight::LinearWeight(Tensor weight, Tensor bias)
    : weight_(std::move(weight)), bias_(std::move(bias)), shape_(weight_.shape()) {
  check(shape_.rank() == 2, "linear: weight is {}; two dimensions are needed", shape_);
  check(!bias_.defined() || bias_.shape() == Shape{shape_[0]},
        "linear: weight is {} but bias is {}", shape_, bias_.shape());
}

void LinearWeight::pack() {
  if (packed_) return;
  const View bias = bias_;
  packed_ = backend::current().pack_linear(weight_, bias_.defined() ? &bias : nullptr);
  if (packed_) weight_ = bias_ = Tensor();
}

namespace {

// The memory the output goes to: the residual's own where nobody else looks at it.
Tensor output_for(const Shape& shape, const Epilogue& epilogue, DType dtype) {
  const Tensor &out = epilogue.out, &residual = epilogue.residual;
  check(dtype == DType::f32 || (!residual.defined() && !epilogue.scale.defined()),
        "linear: an inner result has neither scale nor residual");
  check(!out.defined() || (out.shape() == shape && out.dtype() == dtype && !residual.defined()),
        "linear: output is {} {} but out is {} {}{}", dtype, shape, out.dtype(), out.shape(),
        residual.defined() ? " beside a residual" : "");
  if (out.defined()) return out;
  check(!residual.defined() || residual.shape() == shape, "linear: output is {} but residual is {}",
        shape, residual.shape());
  return residual.defined() && residual.is_unique() && residual.is_contiguous()
             ? residual
             : Tensor::empty(shape, dtype);
}

}  // namespace

Tensor linear(const Tensor& x, const LinearWeight& weight, Epilogue epilogue) {
  const int64_t in = weight.in_features(), out = weight.out_features();
  check(x.rank() >= 1 && x.size(-1) == in, "linear: x is {} but weight is [{}, {}]", x.shape(), out,
        in);
  check(x.dtype() == DType::f32 || (x.dtype() == DType::bf16 && weight.packed()),
        "linear: x is {}; f32 is needed", x.dtype());
  Shape shape = x.shape();
  shape[-1] = out;
  const int64_t rows = x.numel() / std::max<int64_t>(in, 1);
  count_flops(2 * rows * in * out);
  const backend::Backend& device = backend::current();
  const Tensor y = output_for(shape, epilogue, epilogue.inner ? weight.inner_type() : DType::f32);
  if (!weight.packed()) {
    Tensor z = Tensor::empty({rows, out});
    device.gemm(z, contiguous(x).view({rows, in}), weight.weight().transpose(0, 1), 1);
    z = z.view(shape);
    if (weight.bias().defined()) z = z + weight.bias();
    if (epilogue.activation) z = unary(*epilogue.activation, z);
    if (epilogue.scale.defined()) z = z * epilogue.scale;
    if (epilogue.residual.defined()) z = z + epilogue.residual;
    device.copy(y, z);
    return y;
  }
  const auto rows_of = [&](const Tensor& t, int64_t width) {
    return t.can_view({rows, width}) && t.strides()[-1] == 1 ? t.view({rows, width})
                                                             : contiguous(t).view({rows, width});
  };
  const View scale = epilogue.scale;
  const Tensor residual =
      epilogue.residual.defined() ? contiguous(epilogue.residual).view({rows, out}) : Tensor();
  const View residual_view = residual;
  const Tensor y_rows = rows_of(y, out);
  device.linear(y_rows, rows_of(x, in), *weight.packed(),
                {epilogue.activation, epilogue.scale.defined() ? &scale : nullptr,
                 residual.defined() ? &residual_view : nullptr});
  if (y_rows.raw() != y.raw()) device.copy(y, y_rows.view(shape));
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
