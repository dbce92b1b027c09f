// The small layers: structs of tensors, built from a Weights cursor, called like functions. Weights
// are packed for the backend at once.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ocelli/nn/weights.h"
#include "ocelli/ops/conv.h"
#include "ocelli/ops/linear.h"

namespace ocelli {

// torch.nn.Linear: "weight" [out, in] and "bias" [out].
struct Linear {
  LinearWeight weight;

  Linear() = default;
  Linear(const Weights& w, int64_t in, int64_t out, bool bias = true);
  // Several linears of one input run as one: outputs side by side, in the order of `parts`. Each
  // keeps its own name in the checkpoint, e.g. {"q_proj", "k_proj", "v_proj"}. A part whose bias is
  // absent gets zeros.
  Linear(const Weights& w, std::span<const std::string_view> parts, int64_t in, int64_t out_each);
  // The tensor "weight" of `w` in another layout, [out, in].
  Linear(const Weights& w, Tensor matrix, Tensor bias);
  // From tensors at hand: weight [out, in], bias [out] or undefined.
  Linear(Tensor weight, Tensor bias);

  Tensor operator()(const Tensor& x, Epilogue epilogue = {}) const {
    return linear(x, weight, std::move(epilogue));
  }
};

// torch.nn.LayerNorm over the last dimension.
struct LayerNorm {
  Tensor weight, bias;
  float eps = 1e-5f;

  LayerNorm() = default;
  LayerNorm(const Weights& w, int64_t channels, float eps_, bool has_bias = true);
  Tensor operator()(const Tensor& x) const;
};

// torch.nn.Embedding: the table stays in the mapped file, only the rows asked for are read.
struct Embedding {
  Tensor weight;  // [V, C]

  Embedding() = default;
  Embedding(const Weights& w, int64_t count, int64_t channels);
  Tensor operator()(const Tensor& indices) const;
};

// torch.nn.BatchNorm2d over [B, H, W, C].
struct BatchNorm {
  Tensor weight, bias, running_mean, running_var;
  float eps;

  BatchNorm(const Weights& w, int64_t channels, float eps_);
  // In training: of the batch, which moves the running statistics.
  Tensor operator()(const Tensor& x) const;
};

// torch.nn.Conv2d over [B, H, W, C], with the batch norm that follows folded into it unless it is
// to learn.
struct Conv2d {
  Conv2dWeight weight;
  std::optional<BatchNorm> norm;

  Conv2d() = default;
  // `shape` is [out, in / groups, kh, kw].
  Conv2d(const Weights& w, const Shape& shape, const Conv2dOptions& options, bool bias = true);
  Conv2d(const Weights& w, const Shape& shape, const Conv2dOptions& options, const BatchNorm& norm);

  Tensor operator()(const Tensor& x, Epilogue epilogue = {}) const {
    return (*this)(x, weight.options().padding, std::move(epilogue));
  }
  Tensor operator()(const Tensor& x, const std::array<int64_t, 4>& padding,
                    Epilogue epilogue = {}) const;
};

}  // namespace ocelli
