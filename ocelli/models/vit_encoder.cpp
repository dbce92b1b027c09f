// How a ViT computes (models/vit.h); vit.cpp reads the folders.
#include <algorithm>

#include "ocelli/models/vit.h"
#include "ocelli/nn/drop_path.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"

namespace ocelli {
namespace {

// Query and key may be normed per head (timm's qk_norm).
struct Attention {
  Linear qkv, proj;
  LayerNorm q_norm, k_norm;
  int64_t heads;

  Attention(const Weights& w, const VitConfig& c)
      : proj(w / "proj", c.width, c.width), heads(c.heads) {
    static constexpr std::string_view kParts[] = {"q", "k", "v"};
    qkv = w.has("qkv.weight") ? Linear(w / "qkv", c.width, 3 * c.width, w.has("qkv.bias"))
                              : Linear(w, kParts, c.width, c.width);
    if (!w.has("q_norm.weight")) return;
    q_norm = LayerNorm(w / "q_norm", c.width / c.heads, c.eps);
    k_norm = LayerNorm(w / "k_norm", c.width / c.heads, c.eps);
  }

  Tensor operator()(const Tensor& x, Tensor residual, const Tensor& layer_scale) const {
    const int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2);
    const int64_t count = residual.defined() ? residual.size(1) : tokens;  // as SelfAttention
    const bool inner = !q_norm.weight.defined();
    const Tensor y = qkv(x, {.inner = inner}).view({batch, tokens, 3, heads, width / heads});
    Tensor q = y.select(2, 0).slice(1, 0, count), k = y.select(2, 1);  // [B, N, H, D]
    if (q_norm.weight.defined()) {
      q = q_norm(q);
      k = k_norm(k);
    }
    return proj(attention(q, k, y.select(2, 2)).view({batch, count, width}),
                {.scale = layer_scale, .residual = std::move(residual)});
  }
};

Tensor gamma(const Weights& w, int64_t width) {
  return w.has("gamma") ? w.get("gamma", {width}) : Tensor();
}

}  // namespace

struct VitEncoder::Block {
  virtual ~Block() = default;
  // first_tokens of it
  virtual Tensor operator()(Tensor x, const std::array<Tensor, 2>& kept, int64_t count) const = 0;
};

namespace {

Mlp mlp_of(const Weights& w, const VitConfig& c) {
  return {Linear(w / "fc1", c.width, c.hidden), Linear(w / "fc2", c.hidden, c.width), c.activation};
}

// timm's SwiGLUPacked.
SwiGlu swiglu_of(const Weights& w, const VitConfig& c) {
  return {Linear(w / "fc1", c.width, c.hidden), Linear(w / "fc2", c.hidden / 2, c.width)};
}

template <typename Hidden>  // Mlp or SwiGlu
struct PreNormBlock final : VitEncoder::Block {
  LayerNorm norm1;
  Attention attn;
  Tensor ls1;  // layer scale, arXiv 2103.17239; may be undefined
  LayerNorm norm2;
  Hidden mlp;
  Tensor ls2;

  PreNormBlock(const Weights& w, const VitConfig& c, Hidden hidden)
      : norm1(w / "norm1", c.width, c.eps),
        attn(w / "attn", c),
        ls1(gamma(w / "ls1", c.width)),
        norm2(w / "norm2", c.width, c.eps),
        mlp(std::move(hidden)),
        ls2(gamma(w / "ls2", c.width)) {}

  Tensor operator()(Tensor x, const std::array<Tensor, 2>& kept, int64_t count) const override {
    if (kept[0].defined()) {
      x = DropPath::add(x, kept[0], [&](const Tensor& part) { return attn(norm1(part), {}, ls1); });
      return DropPath::add(first_tokens(std::move(x), count), kept[1],
                           [&](const Tensor& part) { return mlp(norm2(part), {}, ls2); });
    }
    Tensor h = norm1(x);
    x = attn(h, first_tokens(std::move(x), count), ls1);
    h = norm2(x);
    return mlp(h, std::move(x), ls2);
  }
};

// The norms of Swin V2 (arXiv 2111.09883), in a plain ViT.
struct PostNormBlock final : VitEncoder::Block {
  Attention attn;
  LayerNorm norm1;
  Mlp mlp;
  LayerNorm norm2;

  PostNormBlock(const Weights& w, const VitConfig& c)
      : attn(w / "attn", c),
        norm1(w / "norm1", c.width, c.eps),
        mlp(mlp_of(w / "mlp", c)),
        norm2(w / "norm2", c.width, c.eps) {}

  Tensor operator()(Tensor x, const std::array<Tensor, 2>& kept, int64_t count) const override {
    if (kept[0].defined()) {
      x = DropPath::add(x, kept[0], [&](const Tensor& part) { return norm1(attn(part, {}, {})); });
      return DropPath::add(first_tokens(std::move(x), count), kept[1],
                           [&](const Tensor& part) { return norm2(mlp(part, {})); });
    }
    x = first_tokens(x + norm1(attn(x, {}, {})), count);
    return x + norm2(mlp(x, {}));
  }
};

std::shared_ptr<const VitEncoder::Block> make_block(const Weights& w, const VitConfig& c) {
  if (c.post_norm) return std::make_shared<PostNormBlock>(w, c);
  const auto fc2 = w.shape_of("mlp.fc2.weight");
  if (fc2 && fc2->rank() == 2 && 2 * (*fc2)[1] == c.hidden) {
    return std::make_shared<PreNormBlock<SwiGlu>>(w, c, swiglu_of(w / "mlp", c));
  }
  return std::make_shared<PreNormBlock<Mlp>>(w, c, mlp_of(w / "mlp", c));
}

}  // namespace

// One learnt query attends over all tokens (timm's AttentionPoolLatent).
struct VitEncoder::MapPool {
  Tensor query;  // [1, L, H, D]
  Linear kv, proj;
  LayerNorm norm;
  Mlp mlp;
  int64_t heads;

  MapPool(const Weights& w, const VitConfig& c)
      : kv(w / "kv", c.width, 2 * c.width),
        proj(w / "proj", c.width, c.width),
        norm(w / "norm", c.width, c.eps),
        mlp{Linear(w / "mlp.fc1", c.width,
                   w.shape_of("mlp.fc1.weight").value_or(Shape{c.hidden})[0]),
            Linear(w / "mlp.fc2", w.shape_of("mlp.fc1.weight").value_or(Shape{c.hidden})[0],
                   c.width),
            c.activation},
        heads(c.heads) {
    const Tensor latent = w.get("latent");
    const Tensor q = Linear(w / "q", c.width, c.width)(latent);
    query = q.view({1, q.size(1), heads, c.width / heads});
  }

  Tensor operator()(const Tensor& x) const {
    const int64_t batch = x.size(0), width = x.size(2);
    const Tensor y = kv(x).view({batch, x.size(1), 2, heads, width / heads});
    const Tensor q = query.expand({batch, query.size(1), heads, width / heads});
    Tensor z =
        proj(attention(q, y.select(2, 0), y.select(2, 1)).view({batch, query.size(1), width}));
    const Tensor h = norm(z);
    return mlp(h, std::move(z)).select(1, 0);
  }
};

VitEncoder::VitEncoder(const Weights& w, const VitConfig& c)
    : config_(c),
      patch_embed_(w / "patch_embed.proj", c.width, c.patch, w.has("patch_embed.proj.bias")) {
  const int64_t h = c.image[0] / c.patch, width = c.width;
  const int64_t embedded = c.embeds_prefix ? c.class_tokens : 0;
  const int64_t grid = h * (c.image[1] / c.patch);
  const Tensor positions = w.get("pos_embed", {1, embedded + grid, width});
  positions_ = positions.slice(1, embedded, embedded + grid);
  std::vector<Tensor> prefix;
  for (const char* name : {"cls_token", "dist_token"}) {
    if (w.has(name)) prefix.push_back(w.get(name, {1, 1, width}));
  }
  if (embedded > 0) prefix = {cat(prefix, 1) + positions.slice(1, 0, embedded)};
  if (c.registers > 0) prefix.push_back(w.get("reg_token", {1, c.registers, width}));
  if (!prefix.empty()) prefix_tokens_ = cat(prefix, 1);
  if (w.has("mask_token")) {
    mask_token_ = w.get("mask_token");  // [1, C] or [1, 1, C]
    check(mask_token_.numel() == width, "{}: mask_token is {} for a width of {}", w.path(),
          mask_token_.shape(), width);
    mask_token_ = mask_token_.view({1, 1, width});
  }
  if (w.has("norm_pre.weight")) norm_pre_ = LayerNorm(w / "norm_pre", width, c.eps);
  for (int64_t i = 0; i < c.depth; ++i) blocks_.push_back(make_block(w / "blocks" / i, c));
  if (w.has("norm.weight")) norm_ = LayerNorm(w / "norm", width, c.eps);
  if (w.has("fc_norm.weight")) fc_norm_ = LayerNorm(w / "fc_norm", width, c.eps);
  if (!norm_.weight.defined() && !fc_norm_.weight.defined())
    norm_ = LayerNorm(w / "norm", width, c.eps);
  if (c.pool == VitConfig::Pool::map) map_pool_ = std::make_shared<MapPool>(w / "attn_pool", c);
}

Tensor VitEncoder::embed(const Tensor& pixels, const Tensor& mask) const {
  const int64_t batch = pixels.size(0), patch = config_.patch;
  const std::array<int64_t, 2> grid = {config_.image[0] / patch, config_.image[1] / patch};
  const std::array<int64_t, 2> wanted = {pixels.size(1) / patch, pixels.size(2) / patch};
  InterpolateOptions resizing = {.mode = Interpolation::bicubic, .antialias = config_.antialias};
  for (size_t i = 0; i < 2 && config_.grid_offset > 0; ++i) {
    resizing.scale_factor[i] =
        (static_cast<double>(wanted[i]) + config_.grid_offset) / static_cast<double>(grid[i]);
  }
  Tensor x = patch_embed_(pixels);  // [B, h*w, C]
  if (mask.defined()) x = mask_patches(x, mask, mask_token_);
  x = x + resize_position_embedding(positions_, 0, grid, wanted, resizing);
  if (!prefix_tokens_.defined()) return x;
  return cat({prefix_tokens_.expand({batch, layout().prefix(), config_.width}), x}, 1);
}

Tensor VitEncoder::run(const Tensor& pixels, const Tensor& mask, LayerTap& tap,
                       int64_t count) const {
  Tensor x = embed(pixels, mask);  // [B, N, C]
  if (norm_pre_.weight.defined()) x = norm_pre_(x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto kept = DropPath::draw(x.size(0));
    const int64_t given = i + 1 < blocks_.size() ? kAllTokens : count;
    x = recompute(std::move(x), [block = blocks_[i], kept, given](Tensor h) {
      return (*block)(std::move(h), kept, given);
    });
    tap(static_cast<int64_t>(i), x);
  }
  return x;
}

Tensor VitEncoder::operator()(const Tensor& pixels) const {
  LayerTap none;
  return norm(run(pixels, {}, none));
}

std::vector<Tensor> VitEncoder::features(const Tensor& pixels,
                                         const FeatureRequest& request) const {
  LayerTap tap(request.layers, config_.depth);
  run(pixels, request.mask, tap);
  std::vector<Tensor> layers = tap.take();
  if (request.norm)
    std::ranges::transform(layers, layers.begin(), [&](const Tensor& x) { return norm(x); });
  return layers;
}

Tensor VitEncoder::pooled(const Tensor& pixels) const {
  const bool whole =
      config_.pool == VitConfig::Pool::map || config_.pool == VitConfig::Pool::average;
  LayerTap none;
  const Tensor tokens = norm(run(pixels, {}, none, whole ? kAllTokens : config_.class_tokens));
  Tensor pooled;
  if (config_.pool == VitConfig::Pool::map)
    pooled = (*map_pool_)(tokens);
  else if (config_.pool == VitConfig::Pool::distilled)
    pooled = (tokens.select(1, 0) + tokens.select(1, 1)) * 0.5f;
  else if (config_.pool == VitConfig::Pool::average)
    pooled = mean(tokens.slice(1, layout().prefix(), tokens.size(1)), 1);
  else
    pooled = tokens.select(1, 0);
  return fc_norm_.weight.defined() ? fc_norm_(pooled) : pooled;
}

}  // namespace ocelli
