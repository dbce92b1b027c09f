#include "ocelli/ops/conv.h"

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

Conv2dWeight::Conv2dWeight(Tensor weight, Tensor bias, const Conv2dOptions& options)
    : weight_(std::move(weight)), bias_(std::move(bias)), shape_(weight_.shape()),
      options_(options) {
  check(shape_.rank() == 4 && shape_[2] >= 1 && shape_[3] >= 1,
        "conv2d: weight is {}; [out, in / groups, height, width] is needed", shape_);
  check(options.groups >= 1 && shape_[0] % options.groups == 0,
        "conv2d: weight is {} in {} groups", shape_, options.groups);
  check(!bias_.defined() || bias_.shape() == Shape{shape_[0]}, "conv2d: weight is {} but bias is {}",
        shape_, bias_.shape());
  for (int i = 0; i < 2; ++i) {
    const auto k = static_cast<size_t>(i);
    check(options.stride[k] >= 1 && options.dilation[k] >= 1 && options.padding[k] >= 0 &&
              options.padding[k + 2] >= 0,
          "conv2d: stride and dilation must be positive, padding not negative");
  }
}

void Conv2dWeight::pack() {
  if (packed_) return;
  const View bias = bias_;
  packed_ = backend::current().pack_conv2d(weight_, bias_.defined() ? &bias : nullptr, options_);
  if (packed_) weight_ = bias_ = Tensor();
}

namespace {

int64_t output_size(int64_t in, int64_t pad, int64_t kernel, int64_t dilation, int64_t stride) {
  const int64_t reach = dilation * (kernel - 1) + 1;
  return in + pad < reach ? 0 : (in + pad - reach) / stride + 1;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Conv2dWeight& weight, Epilogue epilogue) {
  return conv2d(x, weight, weight.options().padding, std::move(epilogue));
}

Tensor conv2d(const Tensor& x, const Conv2dWeight& weight, const std::array<int64_t, 4>& padding,
              Epilogue epilogue) {
  const Shape& w = weight.shape();
  Conv2dOptions options = weight.options();
  options.padding = padding;
  check(x.rank() == 4 && x.dtype() == DType::f32 && x.size(3) == w[1] * options.groups,
        "conv2d: x is {} but weight is {} in {} groups", x.shape(), w, options.groups);
  const Shape shape = {
      x.size(0),
      output_size(x.size(1), padding[0] + padding[2], w[2], options.dilation[0], options.stride[0]),
      output_size(x.size(2), padding[1] + padding[3], w[3], options.dilation[1], options.stride[1]),
      w[0]};
  count_flops(2 * shape.numel() * w[1] * w[2] * w[3]);
  check(!epilogue.residual.defined() || epilogue.residual.shape() == shape,
        "conv2d: output is {} but residual is {}", shape, epilogue.residual.shape());
  Tensor y = Tensor::empty(shape);
  if (!weight.packed()) {
    const View bias = weight.bias();
    backend::current().conv2d(y, x, weight.weight(), weight.bias().defined() ? &bias : nullptr,
                              options);
    if (epilogue.activation) y = unary(*epilogue.activation, y);
    if (epilogue.scale.defined()) y = y * epilogue.scale;
    if (epilogue.residual.defined()) y = y + epilogue.residual;
    return y;
  }
  const Tensor residual =
      epilogue.residual.defined() ? contiguous(epilogue.residual) : epilogue.residual;
  const View scale = epilogue.scale, residual_view = residual;
  backend::current().conv2d_packed(y, contiguous(x), *weight.packed(), options,
                                   {epilogue.activation, epilogue.scale.defined() ? &scale : nullptr,
                                    residual.defined() ? &residual_view : nullptr});
  return y;
}

std::array<int64_t, 4> same_padding(int64_t height, int64_t width, const Conv2dWeight& weight) {
  const auto total = [&](int64_t in, size_t axis) {
    const int64_t stride = weight.options().stride[axis];
    const int64_t reach =
        weight.options().dilation[axis] * (weight.shape()[static_cast<int>(axis) + 2] - 1) + 1;
    return std::max<int64_t>(0, ((in + stride - 1) / stride - 1) * stride + reach - in);
  };
  const int64_t h = total(height, 0), w = total(width, 1);
  return {h / 2, w / 2, h - h / 2, w - w / 2};
}

}  // namespace ocelli
