// CLIP. Radford et al., arXiv 2103.00020. Reference: transformers/models/clip, openai/CLIP,
// open_clip/{model,transformer}.py. Names are those of transformers.
#pragma once

#include "ocelli/models/registry.h"
#include "ocelli/nn/transformer.h"

namespace ocelli {

struct ClipEncoderConfig {
  int64_t width = 0, depth = 0, heads = 0, hidden = 0;
  Unary activation = Unary::quick_gelu;
  float eps = 1e-5f;
};

// The pre-norm transformer of both towers, SigLIP's too: "layers.N.{self_attn, layer_norm1, mlp,
// layer_norm2}".
class ClipEncoder {
 public:
  ClipEncoder() = default;
  ClipEncoder(const Weights& w, const ClipEncoderConfig& config);
  // x [B, N, C]; the last layer gives the first `count` tokens.
  Tensor operator()(Tensor x, const AttentionOptions& attention) const;
  Tensor operator()(Tensor x, const AttentionOptions& attention, LayerTap& tap,
                    int64_t count = kAllTokens) const;
  // The first token alone, [B, C].
  Tensor class_token(Tensor x) const;
  // For patches that are to be compared with texts: the last layer without residual and MLP, its
  // queries attending to queries, out_proj(softmax(q q^T) v). Lan et al., ClearCLIP, arXiv
  // 2407.12442.
  Tensor dense(Tensor x) const;

  // What the tensors say; heads and activation are the caller's.
  static ClipEncoderConfig config_of(const Weights& encoder);

 private:
  struct Layer;
  std::vector<std::shared_ptr<const Layer>> layers_;
};

// Images to [B, embed]; one class a kind of image tower.
class ImageTower {
 public:
  virtual ~ImageTower() = default;
  virtual Tensor operator()(const Tensor& pixels) const = 0;
  // As those of Model.
  virtual std::vector<Tensor> features(const Tensor& pixels,
                                       const FeatureRequest& request) const = 0;
  virtual std::optional<TokenLayout> token_layout() const { return {}; }
  virtual Tensor embed_patches(const Tensor& pixels) const;
  virtual std::array<int64_t, 2> native_size() const = 0;
  virtual int64_t embedding_size() const = 0;
  virtual int64_t depth() const = 0;
};

// The ResNets of CLIP, in OpenAI's names below "visual" (clip_resnet.cpp).
std::unique_ptr<ImageTower> make_clip_resnet(const Weights& visual);

extern const Family kClipFamily;

}  // namespace ocelli
