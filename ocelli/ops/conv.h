// Convolution of channels-last feature maps. Weights are PyTorch's [O, I / groups, kh, kw].
#pragma once

#include "ocelli/ops/linear.h"

namespace ocelli {

using Conv2dOptions =
    backend::Conv2d;  // stride, padding (top, left, bottom, right), dilation, groups

class Conv2dWeight {
 public:
  Conv2dWeight() = default;
  Conv2dWeight(Tensor weight, Tensor bias, const Conv2dOptions& options);

  void pack();
  const Shape& shape() const { return shape_; }
  const Conv2dOptions& options() const { return options_; }
  const Tensor& weight() const { return weight_; }  // undefined once packed
  const Tensor& bias() const { return bias_; }
  const backend::Packed* packed() const { return packed_.get(); }

 private:
  Tensor weight_, bias_;
  Shape shape_ = {0, 0, 0, 0};
  Conv2dOptions options_;
  backend::PackedPtr packed_;
};

// x [B, H, W, I] -> [B, Ho, Wo, O]; y = residual + scale * activation(conv(x) + bias).
Tensor conv2d(const Tensor& x, const Conv2dWeight& weight, Epilogue epilogue = {});
// With a padding that differs from the weight's, as TensorFlow's "SAME" needs (see same_padding).
Tensor conv2d(const Tensor& x, const Conv2dWeight& weight, const std::array<int64_t, 4>& padding,
              Epilogue epilogue = {});

// y = residual + project(activation(depthwise(activation(expand(x))))), where the wide maps in
// between need not be in memory. Sandler et al., arXiv 1801.04381. `expand` and `project` are 1 x 1
// and may be null; `padding` is the depthwise convolution's.
struct InvertedResidual {
  const Conv2dWeight* expand = nullptr;
  const Conv2dWeight* depthwise = nullptr;
  const Conv2dWeight* project = nullptr;
  std::array<int64_t, 4> padding = {0, 0, 0, 0};
  Activation activation = {};
  Tensor residual = {};
};
Tensor inverted_residual(const Tensor& x, const InvertedResidual& block);

// TensorFlow's "SAME": output = ceil(input / stride), the odd pixel below and to the right.
std::array<int64_t, 4> same_padding(int64_t height, int64_t width, const Conv2dWeight& weight);

}  // namespace ocelli
