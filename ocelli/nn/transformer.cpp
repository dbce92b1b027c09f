#include "ocelli/nn/transformer.h"

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

PatchEmbed::PatchEmbed(const Weights& w, int64_t channels, int64_t patch_size, bool bias)
    : patch_height(patch_size), patch_width(patch_size) {
  const Tensor weight = w.get("weight", {channels, 3, patch_size, patch_size});
  // Channels last, as patchify lays the pixels out.
  proj = Linear(w, reshape(weight.permute({0, 2, 3, 1}), {channels, weight.numel() / channels}),
                bias ? w.get("bias", {channels}) : Tensor());
}

Tensor PatchEmbed::operator()(const Tensor& images) const {
  check(images.rank() == 4 && images.size(3) == 3, "patch_embed: images are {}, not [B, H, W, 3]",
        images.shape());
  check(images.size(1) >= patch_height && images.size(2) >= patch_width,
        "the images ({} x {}) are smaller than one patch of the model ({} x {}); larger ones are "
        "needed (--size)",
        images.size(1), images.size(2), patch_height, patch_width);
  return proj(patchify(images, patch_height, patch_width));
}

Tensor mask_patches(const Tensor& patches, const Tensor& mask, const Tensor& token) {
  if (!token.defined()) fail(ErrorCode::unsupported, "features: the model has no mask token");
  check(mask.dtype() == DType::u8 && mask.shape() == Shape({patches.size(0), patches.size(1)}),
        "features: the mask is {} {} for patches {}", mask.dtype(), mask.shape(), patches.shape());
  const Tensor hidden = to(mask, DType::f32).unsqueeze(-1);  // [B, N, 1]
  return patches * (hidden * -1.0f + 1.0f) + token * hidden;
}

Tensor words_with_context(const Embedding& words, const Tensor& ids, const Tensor& context) {
  if (!context.defined()) return words(ids);
  const int64_t width = words.weight.size(1);
  check(context.rank() == 2 && context.size(1) == width && context.size(0) + 1 < ids.size(1),
        "text: a context of {} in ids of {} for vectors of {} numbers", context.shape(),
        ids.shape(), width);
  const int64_t batch = ids.size(0), count = context.size(0);
  return cat({words(ids.slice(1, 0, 1)), context.unsqueeze(0).expand({batch, count, width}),
              words(ids.slice(1, 1 + count, ids.size(1)))},
             1);
}

Tensor first_tokens(Tensor x, int64_t count) {
  if (count >= x.size(1) || AttentionObserver::is_watching()) return x;
  return x.slice(1, 0, count);
}

Tensor SelfAttention::split(const Tensor& x) const {
  const int64_t inner = qkv.weight.out_features() / 3;
  return qkv(x, {.inner = true}).view({x.size(0), x.size(1), 3, heads, inner / heads});
}

Tensor SelfAttention::operator()(const Tensor& x, Tensor residual, const AttentionOptions& options,
                                 const Tensor& layer_scale) const {
  const Tensor y = split(x);
  const int64_t count = residual.defined() ? residual.size(1) : x.size(1);
  const Tensor q = y.select(2, 0).slice(1, 0, count);
  const Tensor mixed = attention(q, y.select(2, 1), y.select(2, 2), options);
  return proj(mixed.view({x.size(0), count, y.size(3) * y.size(4)}),
              {.scale = layer_scale, .residual = std::move(residual)});
}

Tensor SelfAttention::correlate(const Tensor& x) const {
  const Tensor y = split(x), q = y.select(2, 0);
  return proj(attention(q, q, y.select(2, 2)).view({x.size(0), x.size(1), y.size(3) * y.size(4)}));
}

Tensor Mlp::operator()(const Tensor& x, Tensor residual, const Tensor& layer_scale) const {
  // Rows a multiple of 4096 bytes long would fall on the same lines of the first-level cache, so
  // the hidden ones are kept a line further apart; a Tape has no use for memory that is shared.
  if (Tape::active()) {
    return fc2(fc1(x, {.activation = activation, .inner = true}),
               {.scale = layer_scale, .residual = std::move(residual)});
  }
  const int64_t hidden = fc1.weight.out_features();
  Shape shape = x.shape();
  shape[-1] = hidden % 1024 == 0 ? hidden + 16 : hidden;
  const Tensor out = Tensor::empty(shape, fc1.weight.inner_type()).slice(-1, 0, hidden);
  const Tensor y = fc1(x, {.activation = activation, .out = out, .inner = true});
  return fc2(y, {.scale = layer_scale, .residual = std::move(residual)});
}

Tensor SwiGlu::operator()(const Tensor& x, Tensor residual, const Tensor& layer_scale) const {
  const Tensor y = w12(x);
  const int64_t hidden = y.size(-1) / 2;
  return w3(silu(y.slice(-1, 0, hidden)) * y.slice(-1, hidden, 2 * hidden),
            {.scale = layer_scale, .residual = std::move(residual)});
}

Tensor resize_position_embedding(const Tensor& embedding, int64_t prefix,
                                 std::array<int64_t, 2> grid, std::array<int64_t, 2> new_grid,
                                 const InterpolateOptions& options) {
  const int64_t channels = embedding.size(-1);
  check(embedding.rank() == 3 && embedding.size(1) == prefix + grid[0] * grid[1],
        "position embedding: {} for {} extra tokens and a grid of {} x {}", embedding.shape(),
        prefix, grid[0], grid[1]);
  if (grid == new_grid) return embedding;
  const Tensor map =
      reshape(embedding.slice(1, prefix, embedding.size(1)), {1, grid[0], grid[1], channels});
  const Tensor resized = interpolate(map, new_grid[0], new_grid[1], options)
                             .view({1, new_grid[0] * new_grid[1], channels});
  return prefix > 0 ? cat({embedding.slice(1, 0, prefix), resized}, 1) : resized;
}

Unary parse_activation(std::string_view name) {
  if (name == "gelu" || name == "gelu_python") return Unary::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" ||
      name == "gelu_tanh") {
    return Unary::gelu_tanh;
  }
  if (name == "quick_gelu") return Unary::quick_gelu;
  if (name == "relu") return Unary::relu;
  if (name == "relu6") return Unary::relu6;
  if (name == "silu" || name == "swish") return Unary::silu;
  if (name == "tanh") return Unary::tanh;
  if (name == "hardswish" || name == "hard_swish") return Unary::hardswish;
  fail(ErrorCode::unsupported, "activation '{}' is not supported", name);
}

}  // namespace ocelli
