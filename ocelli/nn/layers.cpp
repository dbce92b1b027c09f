#include "ocelli/nn/layers.h"

#include <array>
#include <cmath>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"

namespace ocelli {

Linear::Linear(Tensor w, Tensor bias) : weight(std::move(w), std::move(bias)) {
  weight.pack();
}

Linear::Linear(const Weights& w, int64_t in, int64_t out, bool bias) {
  constexpr std::array<std::string_view, 1> kName = {"weight"};
  if (backend::PackedPtr ready = Tape::active() ? nullptr : w.packed(kName, {out, in})) {
    weight = LinearWeight(std::move(ready), out, in);
    return;
  }
  *this = Linear(w, w.get("weight", {out, in}), bias ? w.get("bias", {out}) : Tensor());
  w.release("weight");
  if (weight.packed()) w.keep(kName, *weight.packed());
}

Linear::Linear(const Weights& w, Tensor matrix, Tensor bias) {
  const backend::UseBackend packing(w.packer("weight"));
  *this = Linear(std::move(matrix), std::move(bias));
}

Linear::Linear(const Weights& w, std::span<const std::string_view> parts, int64_t in,
               int64_t out_each) {
  std::vector<std::string> paths;
  for (const std::string_view name : parts) paths.push_back(std::string(name) + ".weight");
  const std::vector<std::string_view> names(paths.begin(), paths.end());
  if (backend::PackedPtr ready = Tape::active() ? nullptr : w.packed(names, {out_each, in})) {
    weight = LinearWeight(std::move(ready), out_each * std::ssize(parts), in);
    return;
  }
  std::vector<Tensor> weights, biases;
  bool any_bias = false;
  const backend::Backend* packer = &backend::current();
  for (const std::string_view name : parts) {
    const Weights part = w / name;
    packer = &part.packer("weight");
    weights.push_back(part.get("weight", {out_each, in}));
    any_bias |= part.has("bias");
    biases.push_back(part.has("bias") ? part.get("bias", {out_each}) : Tensor::zeros({out_each}));
  }
  const backend::UseBackend packing(*packer);
  *this = Linear(cat(weights, 0), any_bias ? cat(biases, 0) : Tensor());
  for (const std::string_view name : parts) (w / name).release("weight");
  if (weight.packed()) w.keep(names, *weight.packed());
}

LayerNorm::LayerNorm(const Weights& w, int64_t channels, float eps_, bool has_bias)
    : weight(w.get("weight", {channels})),
      bias(has_bias ? w.get("bias", {channels}) : Tensor()),
      eps(eps_) {}

Tensor LayerNorm::operator()(const Tensor& x) const {
  return layer_norm(x, weight, bias, eps);
}

Embedding::Embedding(const Weights& w, int64_t count, int64_t channels)
    : weight(w.get("weight", {count, channels})) {}

Tensor Embedding::operator()(const Tensor& indices) const {
  return embedding(indices, weight);
}

BatchNorm::BatchNorm(const Weights& w, int64_t channels, float eps_)
    : weight(w.get("weight", {channels})),
      bias(w.get("bias", {channels})),
      running_mean(w.get("running_mean", {channels})),
      running_var(w.get("running_var", {channels})),
      eps(eps_) {
  w.ignore("num_batches_tracked");
}

Tensor BatchNorm::operator()(const Tensor& x) const {
  constexpr float kMomentum = 0.1f;  // PyTorch's
  return batch_norm(x, running_mean, running_var, weight, bias, kMomentum, eps);
}

Conv2d::Conv2d(const Weights& w, const Shape& shape, const Conv2dOptions& options, bool bias)
    : weight(w.get("weight", shape), bias ? w.get("bias", {shape[0]}) : Tensor(), options) {
  const backend::UseBackend packing(w.packer("weight"));
  weight.pack();
  w.release("weight");
}

// norm(conv(x) + b) = conv(x) * scale + (b - running_mean) * scale + norm.bias,
// scale = norm.weight / sqrt(running_var + eps)
Conv2d::Conv2d(const Weights& w, const Shape& shape, const Conv2dOptions& options,
               const BatchNorm& follows) {
  const Tensor plain = w.get("weight", shape);
  const Tensor own_bias = w.has("bias") ? w.get("bias", {shape[0]}) : Tensor();
  if (Tape::recording({&plain, &own_bias, &follows.weight, &follows.bias})) {
    weight = Conv2dWeight(plain, own_bias, options);
    weight.pack();
    norm = follows;
    return;
  }
  const Tensor folded = Tensor::empty(shape);
  const Tensor bias = Tensor::empty({shape[0]});
  const int64_t each = shape.numel() / std::max<int64_t>(shape[0], 1);
  for (int64_t o = 0; o < shape[0]; ++o) {
    const double s = follows.weight.data<float>()[o] /
                     std::sqrt(double{follows.running_var.data<float>()[o]} + follows.eps);
    const auto scale = static_cast<float>(s);
    const auto shift = static_cast<float>(follows.bias.data<float>()[o] -
                                          follows.running_mean.data<float>()[o] * s);
    for (int64_t i = o * each; i < (o + 1) * each; ++i) {
      folded.data<float>()[i] = plain.data<float>()[i] * scale;
    }
    bias.data<float>()[o] = own_bias.defined() ? own_bias.data<float>()[o] * scale + shift : shift;
  }
  weight = Conv2dWeight(folded, bias, options);
  const backend::UseBackend packing(w.packer("weight"));
  weight.pack();
  w.release("weight");
}

Tensor Conv2d::operator()(const Tensor& x, const std::array<int64_t, 4>& padding,
                          Epilogue epilogue) const {
  if (!norm) return conv2d(x, weight, padding, std::move(epilogue));
  Tensor y = (*norm)(conv2d(x, weight, padding));
  if (epilogue.activation) y = unary(*epilogue.activation, y);
  if (epilogue.scale.defined()) y = y * epilogue.scale;
  return epilogue.residual.defined() ? y + epilogue.residual : y;
}

}  // namespace ocelli
