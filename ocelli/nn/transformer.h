// The parts that every vision transformer shares. A family whose part differs writes its own.
#pragma once

#include <limits>

#include "ocelli/nn/layers.h"
#include "ocelli/ops/attention.h"
#include "ocelli/ops/resize.h"

namespace ocelli {

// Images [B, H, W, 3] to tokens [B, (H/P) * (W/P), C]: a convolution of kernel = stride = P, run as
// one matrix product over the pixels of each patch. "weight" is [C, 3, P, P].
struct PatchEmbed {
  Linear proj;
  int64_t patch_height = 0, patch_width = 0;

  PatchEmbed() = default;
  PatchEmbed(const Weights& w, int64_t channels, int64_t patch_size, bool bias = true);
  Tensor operator()(const Tensor& images) const;
};

// Patches [B, N, C] with `token` [1, 1, C] where mask [B, N] u8 is 1, as iBOT (arXiv 2111.07832)
// and DINOv2 train. Throws unsupported for a model without that token (undefined).
Tensor mask_patches(const Tensor& patches, const Tensor& mask, const Tensor& token);

// The words of ids [B, T], with the rows of `context` [M, C] in place of the M behind the first,
// where it is defined. -> [B, T, C]
Tensor words_with_context(const Embedding& words, const Tensor& ids, const Tensor& context);

// Of the tokens [B, N, C] that a last block gives, the first `count`: the others serve it as keys
// and values alone. All of them where somebody watches attention.
Tensor first_tokens(Tensor x, int64_t count);
constexpr int64_t kAllTokens = std::numeric_limits<int64_t>::max();

// Multi-head self-attention over [B, N, C] on a fused query-key-value projection.
// Vaswani et al., arXiv 1706.03762.
struct SelfAttention {
  Linear qkv, proj;
  int64_t heads = 1;

  // residual + proj(attention(x)); `residual` may be undefined, or be of the first tokens alone,
  // [B, R, C], which then ask all others.
  Tensor operator()(const Tensor& x, Tensor residual, const AttentionOptions& options = {},
                    const Tensor& layer_scale = {}) const;
  // proj(softmax(q q^T) v): each token gathers what is like itself.
  Tensor correlate(const Tensor& x) const;

 private:
  Tensor split(const Tensor& x) const;  // [B, N, 3, H, D]
};

// residual + layer_scale * fc2(act(fc1(x))).
struct Mlp {
  Linear fc1, fc2;
  Activation activation = Unary::gelu;

  Tensor operator()(const Tensor& x, Tensor residual, const Tensor& layer_scale = {}) const;
};

// residual + layer_scale * w3(silu(x1) * x2), where [x1, x2] = w12(x). Shazeer, arXiv 2002.05202.
struct SwiGlu {
  Linear w12, w3;

  Tensor operator()(const Tensor& x, Tensor residual, const Tensor& layer_scale = {}) const;
};

// Position embeddings [1, prefix + h*w, C] for another grid: the first `prefix` rows are kept, the
// rest is resized as a feature map by `options`. Returned unchanged when the grid is the same.
Tensor resize_position_embedding(const Tensor& embedding, int64_t prefix,
                                 std::array<int64_t, 2> grid, std::array<int64_t, 2> new_grid,
                                 const InterpolateOptions& options);

// Activation by the names that configurations use: "gelu", "gelu_new", "gelu_pytorch_tanh",
// "quick_gelu", "relu", "silu", ... Throws unsupported.
Unary parse_activation(std::string_view name);

}  // namespace ocelli
