#include "ocelli/ops/conv.h"

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/flops.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

Conv2dWeight::Conv2dWeight(Tensor weight, Tensor bias, const Conv2dOptions& options)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      shape_(weight_.shape()),
      options_(options) {
  check(shape_.rank() == 4 && shape_[2] >= 1 && shape_[3] >= 1,
        "conv2d: weight is {}; [out, in / groups, height, width] is needed", shape_);
  check(options.groups >= 1 && shape_[0] % options.groups == 0, "conv2d: weight is {} in {} groups",
        shape_, options.groups);
  check(!bias_.defined() || bias_.shape() == Shape{shape_[0]},
        "conv2d: weight is {} but bias is {}", shape_, bias_.shape());
  for (int i = 0; i < 2; ++i) {
    const auto k = static_cast<size_t>(i);
    check(options.stride[k] >= 1 && options.dilation[k] >= 1 && options.padding[k] >= 0 &&
              options.padding[k + 2] >= 0,
          "conv2d: stride and dilation must be positive, padding not negative");
  }
}

void Conv2dWeight::pack() {
  if (packed_ || Tape::active()) return;
  const View bias = bias_;
  packed_ = backend::current().pack_conv2d(weight_, bias_.defined() ? &bias : nullptr, options_);
  if (packed_) weight_ = bias_ = Tensor();
}

namespace {

int64_t output_size(int64_t in, int64_t pad, int64_t kernel, int64_t dilation, int64_t stride) {
  const int64_t reach = dilation * (kernel - 1) + 1;
  return in + pad < reach ? 0 : (in + pad - reach) / stride + 1;
}

// The options and the shape of a convolution's output, checked.
struct Plan {
  Conv2dOptions options;
  Shape shape;

  Plan(const Shape& x, const Conv2dWeight& weight, const std::array<int64_t, 4>& padding)
      : options(weight.options()) {
    const Shape& w = weight.shape();
    options.padding = padding;
    check(x.rank() == 4 && x[3] == w[1] * options.groups,
          "conv2d: x is {} but weight is {} in {} groups", x, w, options.groups);
    shape = {
        x[0],
        output_size(x[1], padding[0] + padding[2], w[2], options.dilation[0], options.stride[0]),
        output_size(x[2], padding[1] + padding[3], w[3], options.dilation[1], options.stride[1]),
        w[0]};
    count_flops(2 * shape.numel() * w[1] * w[2] * w[3]);
  }
};

void record_conv2d(const Tensor& y, const Tensor& x, const Conv2dWeight& conv,
                   const Conv2dOptions& options) {
  const Tensor weight = conv.weight(), bias = conv.bias();
  Tape* tape = Tape::recording({&x, &weight, &bias});
  if (!tape) return;
  tape->record("conv2d", y, [=](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.wants(x) ? Tensor::empty(x.shape()) : Tensor();
    const Tensor dweight = gradients.wants(weight) ? Tensor::empty(weight.shape()) : Tensor();
    const View dx_view = dx, dweight_view = dweight;
    backend::current().conv2d_backward(dx.defined() ? &dx_view : nullptr,
                                       dweight.defined() ? &dweight_view : nullptr, dy, x, weight,
                                       options);
    if (dx.defined()) gradients.add(x, dx);
    if (dweight.defined()) gradients.add(weight, dweight);
    if (!gradients.wants(bias)) return;
    gradients.add(bias, sum(contiguous(dy).view({dy.numel() / dy.size(-1), dy.size(-1)}), 0));
  });
}

bool is_pointwise(const Conv2dWeight* weight) {
  if (!weight) return true;
  const Conv2dOptions& o = weight->options();
  return weight->shape()[2] == 1 && weight->shape()[3] == 1 && o.groups == 1 &&
         o.stride == std::array<int64_t, 2>{1, 1} &&
         o.padding == std::array<int64_t, 4>{0, 0, 0, 0};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Conv2dWeight& weight, Epilogue epilogue) {
  return conv2d(x, weight, weight.options().padding, std::move(epilogue));
}

Tensor conv2d(const Tensor& x, const Conv2dWeight& weight, const std::array<int64_t, 4>& padding,
              Epilogue epilogue) {
  check(x.dtype() == DType::f32, "conv2d: x is {}; f32 is needed", x.dtype());
  const auto [options, shape] = Plan(x.shape(), weight, padding);
  check(!epilogue.residual.defined() || epilogue.residual.shape() == shape,
        "conv2d: output is {} but residual is {}", shape, epilogue.residual.shape());
  Tensor y = Tensor::empty(shape);
  if (!weight.packed()) {
    const View bias = weight.bias();
    backend::current().conv2d(y, x, weight.weight(), weight.bias().defined() ? &bias : nullptr,
                              options);
    record_conv2d(y, x, weight, options);
    if (epilogue.activation) y = unary(*epilogue.activation, y);
    if (epilogue.scale.defined()) y = y * epilogue.scale;
    if (epilogue.residual.defined()) y = y + epilogue.residual;
    return y;
  }
  Tape::refuse("conv2d of a packed weight (open the model while a Tape lives)",
               {&x, &epilogue.scale, &epilogue.residual});
  const Tensor residual =
      epilogue.residual.defined() ? contiguous(epilogue.residual) : epilogue.residual;
  const View scale = epilogue.scale, residual_view = residual;
  backend::current().conv2d_packed(
      y, contiguous(x), *weight.packed(), options,
      {epilogue.activation, epilogue.scale.defined() ? &scale : nullptr,
       residual.defined() ? &residual_view : nullptr});
  return y;
}

Tensor inverted_residual(const Tensor& x, const InvertedResidual& block) {
  const auto& [expand, depthwise, project, padding, activation, residual] = block;
  const Shape& w = depthwise->shape();
  check(is_pointwise(expand) && is_pointwise(project),
        "inverted_residual: expand and project must be 1 x 1, without stride, padding and groups");
  check(w[1] == 1 && depthwise->options().groups == w[0],
        "inverted_residual: weight is {} in {} groups, which is not depthwise", w,
        depthwise->options().groups);
  if (!depthwise->packed() || w[0] == 1) {
    const Tensor wide = expand ? conv2d(x, *expand, {.activation = activation}) : x;
    if (!project)
      return conv2d(wide, *depthwise, padding, {.activation = activation, .residual = residual});
    return conv2d(conv2d(wide, *depthwise, padding, {.activation = activation}), *project,
                  {.residual = residual});
  }
  check(x.dtype() == DType::f32, "inverted_residual: x is {}; f32 is needed", x.dtype());
  Tape::refuse("inverted_residual of packed weights (open the model while a Tape lives)",
               {&x, &residual});
  const Shape wide = expand ? Plan(x.shape(), *expand, {}).shape : x.shape();
  const auto [options, filtered] = Plan(wide, *depthwise, padding);
  const Shape shape = project ? Plan(filtered, *project, {}).shape : filtered;
  check(!residual.defined() || residual.shape() == shape,
        "inverted_residual: output is {} but residual is {}", shape, residual.shape());
  const Tensor y = Tensor::empty(shape),
               added = residual.defined() ? contiguous(residual) : residual;
  const View added_view = added;
  backend::current().inverted_residual(y, contiguous(x),
                                       {.expand = expand ? expand->packed() : nullptr,
                                        .depthwise = depthwise->packed(),
                                        .project = project ? project->packed() : nullptr,
                                        .channels = w[0],
                                        .params = options,
                                        .activation = activation,
                                        .residual = added.defined() ? &added_view : nullptr});
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
