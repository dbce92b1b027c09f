#include "ocelli/models/clip.h"

#include "ocelli/ops/recompute.h"

namespace ocelli {

struct ClipEncoder::Layer {
  LayerNorm layer_norm1;
  SelfAttention self_attn;
  Tensor ls1;  // layer scale of some open_clip models; may be undefined
  LayerNorm layer_norm2;
  Mlp mlp;
  Tensor ls2;

  Layer(const Weights& w, const ClipEncoderConfig& c)
      : layer_norm1(w / "layer_norm1", c.width, c.eps),
        self_attn{qkv(w / "self_attn", c.width), Linear(w / "self_attn.out_proj", c.width, c.width),
                  c.heads},
        layer_norm2(w / "layer_norm2", c.width, c.eps),
        mlp{Linear(w / "mlp.fc1", c.width, c.hidden), Linear(w / "mlp.fc2", c.hidden, c.width),
            c.activation} {
    if (w.has("ls_1.gamma")) ls1 = w.get("ls_1.gamma", {c.width});
    if (w.has("ls_2.gamma")) ls2 = w.get("ls_2.gamma", {c.width});
  }

  static Linear qkv(const Weights& w, int64_t width) {
    static constexpr std::string_view kParts[] = {"q_proj", "k_proj", "v_proj"};
    if (w.has("in_proj.weight")) return Linear(w / "in_proj", width, 3 * width);
    return Linear(w, kParts, width, width);
  }

  // `count` tokens: first_tokens.
  Tensor operator()(Tensor x, const AttentionOptions& options, int64_t count) const {
    Tensor h = layer_norm1(x);
    x = self_attn(h, first_tokens(std::move(x), count), options, ls1);
    h = layer_norm2(x);
    return mlp(h, std::move(x), ls2);
  }
};

ClipEncoder::ClipEncoder(const Weights& w, const ClipEncoderConfig& c) {
  if (c.heads < 1 || c.width % c.heads != 0) {
    fail(ErrorCode::corrupt_data, "{}: {} attention heads do not divide a width of {}", w.path(),
         c.heads, c.width);
  }
  for (int64_t i = 0; i < c.depth; ++i)
    layers_.push_back(std::make_shared<Layer>(w / "layers" / i, c));
}

Tensor ClipEncoder::operator()(Tensor x, const AttentionOptions& attention, LayerTap& tap,
                               int64_t count) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const int64_t given = i + 1 < layers_.size() ? kAllTokens : count;
    x = recompute(std::move(x), [layer = layers_[i], attention, given](Tensor h) {
      return (*layer)(std::move(h), attention, given);
    });
    tap(static_cast<int64_t>(i), x);
  }
  return x;
}

Tensor ClipEncoder::operator()(Tensor x, const AttentionOptions& attention) const {
  LayerTap none;
  return (*this)(std::move(x), attention, none);
}

Tensor ClipEncoder::class_token(Tensor x) const {
  LayerTap none;
  return (*this)(std::move(x), {}, none, 1).select(1, 0);
}

Tensor ClipEncoder::dense(Tensor x) const {
  for (size_t i = 0; i + 1 < layers_.size(); ++i) x = (*layers_[i])(std::move(x), {}, kAllTokens);
  const Layer& last = *layers_.back();
  return last.self_attn.correlate(last.layer_norm1(x));
}

ClipEncoderConfig ClipEncoder::config_of(const Weights& encoder) {
  ClipEncoderConfig c;
  c.depth = encoder.count("layers");
  const auto fc1 = encoder.shape_of("layers.0.mlp.fc1.weight");
  if (!fc1 || fc1->rank() != 2)
    fail(ErrorCode::not_found, "{}: tensor {}.layers.0.mlp.fc1.weight is missing", encoder.path(),
         encoder.prefix());
  c.hidden = (*fc1)[0];
  c.width = (*fc1)[1];
  return c;
}

}  // namespace ocelli
