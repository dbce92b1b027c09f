// Vision Transformer. Dosovitskiy et al., arXiv 2010.11929; DeiT, arXiv 2012.12877; registers,
// arXiv 2309.16588. Reference: timm/models/vision_transformer.py, transformers/models/{vit,deit}.
#pragma once

#include "ocelli/models/registry.h"
#include "ocelli/nn/transformer.h"

namespace ocelli {

struct VitConfig {
  // `distilled`: the mean of the class and the distillation token.
  enum class Pool { token, average, map, distilled };

  int64_t width = 0, depth = 0, heads = 0, hidden = 0, patch = 16;
  std::array<int64_t, 2> image = {224, 224};  // of the position embeddings
  int64_t class_tokens = 1;                   // class and distillation tokens
  int64_t registers = 0;
  bool embeds_prefix = true;  // the class tokens have position embeddings
  bool antialias = true;      // of resized position embeddings: timm yes, transformers no
  double grid_offset = 0;  // added to the new grid for the scale of the resizing: Meta's DINO, 0.1
  Pool pool = Pool::token;
  bool post_norm = false;  // norms after attention and MLP: timm's ResPostBlock
  Unary activation = Unary::gelu;
  float eps = 1e-6f;
};

// The encoder without a head; names are timm's, and Meta's for the mask token.
class VitEncoder {
 public:
  VitEncoder(const Weights& w, const VitConfig& config);

  // [B, H, W, 3] -> [B, N, C] after the final norm.
  Tensor operator()(const Tensor& pixels) const;
  // As Model::features.
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const;
  // [B, H, W, 3] -> [B, C], after the final norm and as the model pools.
  Tensor pooled(const Tensor& pixels) const;
  const VitConfig& config() const { return config_; }
  TokenLayout layout() const { return {config_.class_tokens, config_.registers, config_.patch}; }

  struct Block;

 private:
  struct MapPool;
  Tensor embed(const Tensor& pixels, const Tensor& mask) const;
  Tensor run(const Tensor& pixels, const Tensor& mask, LayerTap& tap,
             int64_t count = kAllTokens) const;
  Tensor norm(const Tensor& x) const { return norm_.weight.defined() ? norm_(x) : x; }

  VitConfig config_;
  PatchEmbed patch_embed_;
  Tensor mask_token_;     // [1, 1, C]; may be undefined
  Tensor prefix_tokens_;  // [1, class tokens + registers, C], positions added; may be undefined
  Tensor positions_;      // [1, h*w, C]
  LayerNorm norm_pre_, norm_, fc_norm_;
  std::vector<std::shared_ptr<const Block>> blocks_;
  std::shared_ptr<const MapPool> map_pool_;
};

// Derives what tensor shapes tell; `w` holds timm's names.
VitConfig vit_config_from_shapes(const Weights& w);

// What timm's function of that name says and no file does: activation, epsilon, kind of block.
void apply_timm_name(std::string_view architecture, VitConfig& config);

extern const Family kVitFamily;

}  // namespace ocelli
