// The ResNet towers of CLIP: three convolutions as stem, average pools where others have strides,
// attention instead of the last pool. Reference: openai/CLIP clip/model.py, ModifiedResNet.
#include <cmath>

#include "ocelli/models/clip.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/pool.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"

namespace ocelli {
namespace {

Conv2d conv_norm(const Weights& w, const std::string& conv, const std::string& norm, int64_t stride,
                 int64_t padding) {
  const Shape shape = w.get(conv + ".weight").shape();
  return Conv2d(w / conv, shape,
                {.stride = {stride, stride}, .padding = {padding, padding, padding, padding}},
                BatchNorm(w / norm, shape[0], 1e-5f));
}

Tensor halve(const Tensor& x) {
  return avg_pool2d(x, {.kernel = {2, 2}, .stride = {2, 2}});
}

struct Bottleneck {
  Conv2d conv1, conv2, conv3;
  std::optional<Conv2d> downsample;
  bool halves;

  Bottleneck(const Weights& w, bool halves_)
      : conv1(conv_norm(w, "conv1", "bn1", 1, 0)),
        conv2(conv_norm(w, "conv2", "bn2", 1, 1)),
        conv3(conv_norm(w, "conv3", "bn3", 1, 0)),
        halves(halves_) {
    if (w.has("downsample.0.weight"))
      downsample = conv_norm(w, "downsample.0", "downsample.1", 1, 0);
  }

  Tensor operator()(const Tensor& x) const {
    Tensor y = conv2(conv1(x, {.activation = Unary::relu}), {.activation = Unary::relu});
    if (halves) y = halve(y);
    const Tensor identity = downsample ? (*downsample)(halves ? halve(x) : x) : x;
    return relu(conv3(y, {.residual = identity}));
  }
};

// The mean of all positions attends over them: [B, H, W, C] -> [B, embed].
struct AttentionPool {
  Linear q_proj, kv, c_proj;
  Tensor positions;  // [1, 1 + h*w, C]
  int64_t width, heads, side;

  explicit AttentionPool(const Weights& w) {
    const Shape shape = w.get("positional_embedding").shape();
    width = shape[1];
    heads = std::max<int64_t>(width / 64, 1);
    side = std::llround(std::sqrt(static_cast<double>(shape[0] - 1)));
    positions = w.get("positional_embedding", {1 + side * side, width}).unsqueeze(0);
    static constexpr std::string_view kParts[] = {"k_proj", "v_proj"};
    q_proj = Linear(w / "q_proj", width, width);
    kv = Linear(w, kParts, width, width);
    c_proj = Linear(w / "c_proj", width, w.get("c_proj.weight").size(0));
  }

  Tensor operator()(const Tensor& x) const {
    const int64_t batch = x.size(0);
    const Tensor rows = reshape(x, {batch, -1, width});
    const Tensor places =
        resize_position_embedding(positions, 1, {side, side}, {x.size(1), x.size(2)},
                                  {.mode = Interpolation::bicubic, .antialias = true});
    const Tensor tokens = cat({mean(rows, 1).unsqueeze(1), rows}, 1) + places;  // [B, 1 + h*w, C]
    const Tensor q = q_proj(tokens.slice(1, 0, 1)).view({batch, 1, heads, width / heads});
    const Tensor y = kv(tokens).view({batch, tokens.size(1), 2, heads, width / heads});
    return c_proj(attention(q, y.select(2, 0), y.select(2, 1)).view({batch, width}));
  }
};

class ClipResNet final : public ImageTower {
 public:
  explicit ClipResNet(const Weights& w)
      : conv1_(conv_norm(w, "conv1", "bn1", 2, 1)),
        conv2_(conv_norm(w, "conv2", "bn2", 1, 1)),
        conv3_(conv_norm(w, "conv3", "bn3", 1, 1)),
        attnpool_(w / "attnpool") {
    for (int64_t stage = 1; (w / fmt::format("layer{}", stage)).exists(); ++stage) {
      const Weights layer = w / fmt::format("layer{}", stage);
      std::vector<Bottleneck> blocks;
      for (int64_t i = 0; (layer / i).exists(); ++i)
        blocks.emplace_back(layer / i, stage > 1 && i == 0);
      stages_.push_back(std::move(blocks));
    }
  }

  std::array<int64_t, 2> native_size() const override {
    return {attnpool_.side * 32, attnpool_.side * 32};
  }
  int64_t embedding_size() const override { return attnpool_.c_proj.weight.out_features(); }
  int64_t depth() const override { return static_cast<int64_t>(stages_.size()); }

  Tensor operator()(const Tensor& pixels) const override {
    LayerTap none;
    return attnpool_(run(pixels, none));
  }
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    refuse_mask(request);
    LayerTap tap(request.layers, depth());
    run(pixels, tap);
    return tap.take();
  }

 private:
  Tensor run(const Tensor& pixels, LayerTap& tap) const {
    Tensor x = conv1_(pixels, {.activation = Unary::relu});
    x = halve(conv3_(conv2_(x, {.activation = Unary::relu}), {.activation = Unary::relu}));
    for (size_t i = 0; i < stages_.size(); ++i) {
      for (const Bottleneck& block : stages_[i]) x = block(x);
      tap(static_cast<int64_t>(i), x);
    }
    return x;
  }

  Conv2d conv1_, conv2_, conv3_;
  std::vector<std::vector<Bottleneck>> stages_;
  AttentionPool attnpool_;
};

}  // namespace

std::unique_ptr<ImageTower> make_clip_resnet(const Weights& visual) {
  return std::make_unique<ClipResNet>(visual);
}

}  // namespace ocelli
