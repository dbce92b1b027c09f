// linear: y = residual + scale * activation(x W^T + bias), one pass over the output.
#pragma once

#include "ocelli/backend/backend.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

using Activation = backend::Activation;
using backend::Unary;

// A weight [N, K] with its bias [N] (or undefined). Plain for training; pack() turns it into the
// backend's own layout, once, and lets the plain copy go.
class LinearWeight {
 public:
  LinearWeight() = default;
  LinearWeight(Tensor weight, Tensor bias);
  LinearWeight(backend::PackedPtr packed, int64_t out, int64_t in)
      : shape_{out, in}, packed_(std::move(packed)) {}

  void pack();
  int64_t out_features() const { return shape_[0]; }
  int64_t in_features() const { return shape_[1]; }
  const Tensor& weight() const { return weight_; }  // undefined once packed
  const Tensor& bias() const { return bias_; }
  const backend::Packed* packed() const { return packed_.get(); }
  DType inner_type() const { return packed_ ? packed_->inner : DType::f32; }

 private:
  Tensor weight_, bias_;
  Shape shape_ = {0, 0};
  backend::PackedPtr packed_;
};

struct Epilogue {
  Activation activation = {};
  Tensor scale = {};     // [N], layer scale
  Tensor residual = {};  // shape of the output; its memory is reused when handed over by move
  Tensor out = {};  // where the result of linear goes, rows any distance apart; without residual
  // Only linear() and attention() read the result: it is of the weight's inner_type().
  bool inner = false;
};

// x [..., K], f32 or bf16 -> [..., N], f32 unless it is inner. torch.nn.functional.linear with the
// usual followers fused.
Tensor linear(const Tensor& x, const LinearWeight& weight, Epilogue epilogue = {});

// a [..., M, K] @ b [..., K, N] -> [..., M, N]; leading sizes broadcast. torch.matmul, rank >= 2.
Tensor matmul(const Tensor& a, const Tensor& b, float alpha = 1);

}  // namespace ocelli
