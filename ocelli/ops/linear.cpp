#include "ocelli/ops/linear.h"

#include <vector>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/flops.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

LinearWeight::LinearWeight(Tensor weight, Tensor bias)
    : weight_(std::move(weight)), bias_(std::move(bias)), shape_(weight_.shape()) {
  check(shape_.rank() == 2, "linear: weight is {}; two dimensions are needed", shape_);
  check(!bias_.defined() || bias_.shape() == Shape{shape_[0]},
        "linear: weight is {} but bias is {}", shape_, bias_.shape());
}

void LinearWeight::pack() {
  if (packed_ || Tape::active()) return;
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

namespace {

Tensor rows_of(const Tensor& x) {
  const int64_t width = x.size(-1);
  return contiguous(x).view({x.numel() / std::max<int64_t>(width, 1), width});
}

// y = residual + activation(z), z = x W^T + bias, of a weight that changes too often to be kept
// packed. Without an activation z is not written.
void product(const Tensor& y, const Tensor& z, const Tensor& x, const LinearWeight& weight,
             const backend::Packed* packed, Activation activation, const Tensor& residual) {
  const backend::Backend& device = backend::current();
  const View sums = z, residual_view = residual;
  if (packed) {
    return device.linear(y, x, *packed,
                         {activation, nullptr, residual.defined() ? &residual_view : nullptr,
                          activation ? &sums : nullptr});
  }
  const Tensor& at = activation ? z : y;
  device.gemm(at, x, weight.weight().transpose(0, 1), 1);
  if (weight.bias().defined())
    device.binary(backend::Binary::add, at, at, weight.bias().expand(y.shape()));
  if (activation) device.unary(*activation, y, z);
  if (residual.defined()) device.binary(backend::Binary::add, y, y, residual);
}

// x in the type that products round it to anyway, which takes half the memory until the gradient.
Tensor rounded_rows(const Tensor& x, DType dtype) {
  const Tensor rows = rows_of(x);
  if (rows.dtype() == dtype) return rows;
  const Tensor y = Tensor::empty(rows.shape(), dtype);
  backend::current().copy(y, rows);
  return y;
}

// With z = x W^T + bias, h = activation(z), y = residual + scale h:
// dresidual = dy,  dscale = sum dy h,  and those of the backend from dh = dy scale
Tensor linear_on(Tape& tape, const Tensor& x, const LinearWeight& packable,
                 const Epilogue& epilogue) {
  const NoTape pause;
  const Tensor weight = packable.weight(), bias = packable.bias();
  if (!weight.defined()) {
    fail(ErrorCode::unsupported,
         "linear: the weight was packed before a Tape lived; open the model while one does");
  }
  const Tensor scale = epilogue.scale, residual = epilogue.residual;
  const Activation activation = epilogue.activation;
  const View bias_view = bias;
  const backend::PackedPtr packed =
      backend::current().pack_linear(weight, bias.defined() ? &bias_view : nullptr);
  const DType inner = packed ? packed->inner : DType::f32;
  const DType type = epilogue.inner ? inner : DType::f32;
  const Tensor in = rounded_rows(x, inner);
  const Shape rows = {in.size(0), packable.out_features()};
  const Tensor h = Tensor::empty(rows, type),
               before = activation ? Tensor::empty(rows, type) : Tensor();
  const bool adds = residual.defined() && !scale.defined();
  product(h, before, in, packable, packed.get(), activation, adds ? rows_of(residual) : Tensor());
  Shape shape = x.shape();
  shape[-1] = packable.out_features();
  Tensor y = (scale.defined() ? h * scale : h).view(shape);
  if (residual.defined() && !adds) y = residual + y;
  const Tensor gated = scale.defined() ? h : Tensor();
  tape.record(
      "linear", y,
      [=, x_at = Place(x), residual_at = Place(residual)](const Tensor& dy, Gradients& gradients) {
        gradients.add(residual_at, dy);
        Tensor dh = rows_of(dy);
        if (gradients.wants(scale)) gradients.add(scale, sum(dh * gated, 0));
        if (scale.defined()) dh = dh * scale;
        const auto wanted = [&](bool wants, const Shape& of) {
          return wants ? Tensor::empty(of) : Tensor();
        };
        const Tensor dx = wanted(gradients.wants(x_at), in.shape()),
                     dweight = wanted(gradients.wants(weight), weight.shape()),
                     dbias = wanted(gradients.wants(bias), bias.shape());
        const View views[] = {dx, dweight, dbias}, sums = before;
        const auto or_null = [](const View& view) { return view.data ? &view : nullptr; };
        backend::current().linear_backward(or_null(views[0]), or_null(views[1]), or_null(views[2]),
                                           dh, in, weight,
                                           {.activation = activation, .sums = &sums});
        if (dbias.defined()) gradients.add(bias, dbias);
        if (dweight.defined()) gradients.add(weight, dweight);
        if (dx.defined()) gradients.add(x_at, dx.view(x_at.shape));
      });
  return y;
}

}  // namespace

Tensor linear(const Tensor& x, const LinearWeight& weight, Epilogue epilogue) {
  const int64_t in = weight.in_features(), out = weight.out_features();
  check(x.rank() >= 1 && x.size(-1) == in, "linear: x is {} but weight is [{}, {}]", x.shape(), out,
        in);
  check(
      x.dtype() == DType::f32 || (x.dtype() == DType::bf16 && (weight.packed() || Tape::active())),
      "linear: x is {}; f32 is needed", x.dtype());
  Shape shape = x.shape();
  shape[-1] = out;
  const int64_t rows = x.numel() / std::max<int64_t>(in, 1);
  count_flops(2 * rows * in * out);
  const backend::Backend& device = backend::current();
  if (Tape* tape = Tape::recording(
          {&x, &weight.weight(), &weight.bias(), &epilogue.scale, &epilogue.residual})) {
    check(!epilogue.out.defined(), "linear: out cannot be recorded");
    return linear_on(*tape, x, weight, epilogue);
  }
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
  const Tensor y = Tensor::empty(shape), left = widened(a), right = widened(b);
  count_flops(2 * y.numel() * a.size(-1));
  backend::current().gemm(y, left, right, alpha);
  if (Tape* tape = Tape::recording({&a, &b})) {
    // da = alpha dy b^T,  db = alpha a^T dy
    tape->record("matmul", y, [=](const Tensor& dy, Gradients& gradients) {
      if (gradients.wants(left)) gradients.add(left, matmul(dy, right.transpose(-2, -1), alpha));
      if (gradients.wants(right)) gradients.add(right, matmul(left.transpose(-2, -1), dy, alpha));
    });
  }
  return y;
}

}  // namespace ocelli
