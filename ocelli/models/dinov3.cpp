#include "ocelli/models/dinov3.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <variant>

#include "ocelli/nn/transformer.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

struct Dinov3Config {
  int64_t width = 0, depth = 0, heads = 1, hidden = 0, patch = 16, registers = 0;
  std::array<int64_t, 2> image = {224, 224};
  double rope_theta = 100;
  bool averages = false;  // embeds the mean of the patches (timm's default), not the class token
  bool gated = false;     // SwiGLU
  Unary activation = Unary::gelu;
  float eps = 1e-5f;
};

// Angles of the rotary position embedding (Su et al., arXiv 2104.09864) in two dimensions. With the
// centre (y, x) of a patch in [-1, 1], a half of a head's channels turns by
// 2 pi [y f_0, y f_1, ..., x f_0, x f_1, ...], f_i = theta^(-4 i / D).
struct Rotation {
  Tensor cos, sin;  // [1, h*w, 1, D/2]

  Rotation(const Dinov3Config& c, int64_t rows, int64_t columns) {
    const int64_t quarter = c.width / c.heads / 4;
    cos = Tensor::empty({1, rows * columns, 1, 2 * quarter});
    sin = Tensor::empty(cos.shape());
    std::vector<double> frequencies;
    for (int64_t i = 0; i < quarter; ++i) {
      frequencies.push_back(
          std::pow(c.rope_theta, -static_cast<double>(i) / static_cast<double>(quarter)));
    }
    float *to_cos = cos.data<float>(), *to_sin = sin.data<float>();
    const auto centre = [](int64_t i, int64_t n) {
      return 2 * (static_cast<double>(i) + 0.5) / static_cast<double>(n) - 1;
    };
    for (int64_t p = 0; p < rows * columns; ++p) {
      for (const double place : {centre(p / columns, rows), centre(p % columns, columns)}) {
        for (const double f : frequencies) {
          const double angle = 2 * std::numbers::pi * place * f;
          *to_cos++ = static_cast<float>(std::cos(angle));
          *to_sin++ = static_cast<float>(std::sin(angle));
        }
      }
    }
  }

  // x [B, N, H, D]: the patches, which are last, are turned; the halves of D are the pairs'
  // members.
  Tensor operator()(const Tensor& x) const {
    const int64_t prefix = x.size(1) - cos.size(1), half = x.size(3) / 2;
    const Tensor patches = x.slice(1, prefix, x.size(1));
    const Tensor a = patches.slice(3, 0, half), b = patches.slice(3, half, 2 * half);
    const Tensor turned = cat({a * cos - b * sin, b * cos + a * sin}, 3);
    return cat({x.slice(1, 0, prefix), turned}, 1);
  }
};

struct Attention {
  Linear qkv, o_proj;
  int64_t heads;

  Attention(const Weights& w, const Dinov3Config& c)
      : o_proj(w / "o_proj", c.width, c.width, w.has("o_proj.bias")), heads(c.heads) {
    static constexpr std::string_view kParts[] = {"q_proj", "k_proj", "v_proj"};
    if (!w.has("qkv.weight")) {
      qkv = Linear(w, kParts, c.width, c.width);
      return;
    }
    // timm's: the keys have no bias.
    Tensor bias;
    if (w.has("q_bias")) {
      const Shape shape = {c.width};
      bias = cat({w.get("q_bias", shape), Tensor::zeros(shape), w.get("v_bias", shape)}, 0);
    }
    qkv = Linear(w / "qkv", w.get("qkv.weight", {3 * c.width, c.width}), bias);
  }

  Tensor operator()(const Tensor& x, Tensor residual, const Rotation& rotate,
                    const Tensor& layer_scale) const {
    const int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2);
    const Tensor y = qkv(x).view({batch, tokens, 3, heads, width / heads});
    const int64_t count = residual.size(1);  // as SelfAttention
    const Tensor q = rotate(y.select(2, 0)).slice(1, 0, count), k = rotate(y.select(2, 1));
    return o_proj(attention(q, k, y.select(2, 2)).view({batch, count, width}),
                  {.scale = layer_scale, .residual = std::move(residual)});
  }
};

std::variant<Mlp, SwiGlu> mlp_of(const Weights& w, const Dinov3Config& c) {
  const bool bias = w.has("up_proj.bias");
  Linear down(w / "down_proj", c.hidden, c.width, bias);
  if (!c.gated) {
    return Mlp{Linear(w / "up_proj", c.width, c.hidden, bias), std::move(down), c.activation};
  }
  static constexpr std::string_view kParts[] = {"gate_proj", "up_proj"};
  return SwiGlu{Linear(w, kParts, c.width, c.hidden), std::move(down)};
}

struct Block {
  LayerNorm norm1;
  Attention attention;
  Tensor layer_scale1;
  LayerNorm norm2;
  std::variant<Mlp, SwiGlu> mlp;
  Tensor layer_scale2;

  Block(const Weights& w, const Dinov3Config& c)
      : norm1(w / "norm1", c.width, c.eps),
        attention(w / "attention", c),
        layer_scale1(w.get("layer_scale1.lambda1", {c.width})),
        norm2(w / "norm2", c.width, c.eps),
        mlp(mlp_of(w / "mlp", c)),
        layer_scale2(w.get("layer_scale2.lambda1", {c.width})) {}

  // first_tokens of it
  Tensor operator()(Tensor x, const Rotation& rotate, int64_t count) const {
    Tensor h = norm1(x);
    x = attention(h, first_tokens(std::move(x), count), rotate, layer_scale1);
    h = norm2(x);
    return std::visit([&](const auto& part) { return part(h, std::move(x), layer_scale2); }, mlp);
  }
};

class Dinov3 final : public Model {
 public:
  Dinov3(const Weights& w, const Dinov3Config& c, ImageProcessor processor,
         std::vector<std::string> labels)
      : config_(c), processor_(processor), labels_(std::move(labels)) {
    const Weights embeddings = w / "embeddings";
    patch_embeddings_ = PatchEmbed(embeddings / "patch_embeddings", c.width, c.patch,
                                   embeddings.has("patch_embeddings.bias"));
    std::vector<Tensor> prefix = {embeddings.get("cls_token", {1, 1, c.width})};
    if (c.registers > 0) {
      prefix.push_back(embeddings.get("register_tokens", {1, c.registers, c.width}));
    }
    embeddings.ignore("register_tokens");  // may be there with no rows
    prefix_tokens_ = cat(prefix, 1);
    if (embeddings.has("mask_token")) {
      mask_token_ = embeddings.get("mask_token", {1, 1, c.width});
    }
    for (int64_t i = 0; i < c.depth; ++i) blocks_.emplace_back(w / "layer" / i, c);
    norm_ = LayerNorm(w / "norm", c.width, c.eps);
    if (const auto shape = w.shape_of("head.weight")) {
      head_ = Linear(w / "head", c.width, (*shape)[0]);
    }
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override { return config_.image; }
  int64_t embedding_size() const override { return config_.width; }
  int64_t depth() const override { return config_.depth; }
  std::optional<TokenLayout> token_layout() const override {
    return TokenLayout{1, config_.registers, config_.patch};
  }
  bool has_classifier() const override { return head_.weight.out_features() > 0; }
  const std::vector<std::string>& labels() const override { return labels_; }

  Tensor embed_image(const Tensor& pixels) const override {
    LayerTap none;
    if (!config_.averages) return clone(norm_(run(pixels, {}, none, 1)).select(1, 0));
    const Tensor x = norm_(run(pixels, {}, none));
    return mean(x.slice(1, 1 + config_.registers, x.size(1)), 1);
  }

  Tensor classify(const Tensor& pixels) const override {
    return has_classifier() ? head_(embed_image(pixels)) : Model::classify(pixels);
  }

  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    LayerTap tap(request.layers, config_.depth);
    run(pixels, request.mask, tap);
    std::vector<Tensor> layers = tap.take();
    for (Tensor& x : layers) x = request.norm ? norm_(x) : x;
    return layers;
  }

 private:
  Tensor run(const Tensor& pixels, const Tensor& mask, LayerTap& tap,
             int64_t count = kAllTokens) const {
    const Rotation rotate(config_, pixels.size(1) / config_.patch, pixels.size(2) / config_.patch);
    Tensor x = patch_embeddings_(pixels);  // [B, h*w, C]
    if (mask.defined()) x = mask_patches(x, mask, mask_token_);
    x = cat({prefix_tokens_.expand({x.size(0), prefix_tokens_.size(1), config_.width}), x}, 1);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const int64_t given = i + 1 < blocks_.size() ? kAllTokens : count;
      x = blocks_[i](std::move(x), rotate, given);
      tap(static_cast<int64_t>(i), x);
    }
    return x;
  }

  Dinov3Config config_;
  PatchEmbed patch_embeddings_;
  Tensor prefix_tokens_, mask_token_;
  std::vector<Block> blocks_;
  LayerNorm norm_;
  Linear head_;
  ImageProcessor processor_;
  std::vector<std::string> labels_;
};

bool is_transformers(const ModelFolder& folder) {
  return folder.config.get<std::string>("model_type", "") == "dinov3_vit";
}

bool is_timm(const ModelFolder& folder) {
  const auto name = folder.config.get<std::string>("architecture", "");
  return name.starts_with("vit_") && name.find("_dinov3") != std::string::npos;
}

bool matches(const ModelFolder& folder) {
  return is_transformers(folder) || is_timm(folder);
}

using Parts = std::span<const std::pair<std::string_view, std::string_view>>;

void replace_first(std::string& name, Parts parts) {
  for (const auto& [from, to] : parts) {
    const size_t at = name.find(from);
    if (at == std::string::npos) continue;
    name.replace(at, from.size(), to);
    return;
  }
}

std::string from_timm(std::string name) {
  static constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {"reg_token", "embeddings.register_tokens"},
      {"cls_token", "embeddings.cls_token"},
      {"patch_embed.proj", "embeddings.patch_embeddings"},
      {".gamma_1", ".layer_scale1.lambda1"},
      {".gamma_2", ".layer_scale2.lambda1"},
      {".attn.proj.", ".attention.o_proj."},
      {".attn.", ".attention."},
      {".mlp.fc1_g.", ".mlp.gate_proj."},
      {".mlp.fc1_x.", ".mlp.up_proj."},
      {".mlp.fc1.", ".mlp.up_proj."},
      {".mlp.fc2.", ".mlp.down_proj."}};
  replace_first(name, kParts);
  if (name.starts_with("blocks.")) name = "layer." + name.substr(7);
  return name;
}

// transformers 5 has the layers below "model".
std::string from_transformers(std::string name) {
  return name.starts_with("model.layer.") ? name.substr(6) : name;
}

Weights::Rename rename(const ModelFolder& folder) {
  return is_timm(folder) ? from_timm : from_transformers;
}

Dinov3Config config_from_shapes(const Weights& w) {
  Dinov3Config c;
  const Shape patch = w.get("embeddings.patch_embeddings.weight").shape();
  const auto up = w.shape_of("layer.0.mlp.up_proj.weight");
  c.depth = w.count("layer");
  if (c.depth == 0 || !up || patch.rank() != 4) {
    fail(ErrorCode::corrupt_data, "{}: has a patch embedding but no layers of a DINOv3", w.path());
  }
  c.width = patch[0];
  c.patch = patch[-1];
  c.hidden = (*up)[0];
  c.gated = w.has("layer.0.mlp.gate_proj.weight");
  const auto registers = w.shape_of("embeddings.register_tokens");
  if (registers && registers->rank() == 3) c.registers = (*registers)[1];
  c.heads = std::max<int64_t>(c.width / (c.width == 4096 ? 128 : 64), 1);  // 4096: the 7B model
  return c;
}

void read_transformers(const Config& json, Dinov3Config& c) {
  c.heads = json.get<int64_t>("num_attention_heads", 6);
  c.eps = json.get<float>("layer_norm_eps", 1e-5f);
  c.rope_theta = json.get<double>("rope_theta", 100);
  c.activation = parse_activation(json.get<std::string>("hidden_act", "gelu"));
  if (c.gated && c.activation != Unary::silu) {
    fail(ErrorCode::unsupported, "{}: a gated MLP with '{}'; only silu is known", json.place(),
         json.get<std::string>("hidden_act", "gelu"));
  }
  const auto side = json.get<int64_t>("image_size", 224);
  c.image = {side, side};
}

void read_timm(const Config& json, Dinov3Config& c) {
  c.heads = json.at("model_args").get<int64_t>("num_heads", c.heads);
  const auto pool = json.get<std::string>("global_pool", "avg");
  if (pool != "avg" && pool != "token") {
    fail(ErrorCode::unsupported, "{}: global_pool '{}'", json.place(), pool);
  }
  c.averages = pool == "avg";
  const auto size =
      json.at("pretrained_cfg").get<std::vector<int64_t>>("input_size", {3, 256, 256});
  if (size.size() == 3) c.image = {size[1], size[2]};
}

ImageProcessor processor_of(const ModelFolder& folder, const Dinov3Config& c) {
  if (folder.processor) {
    return ImageProcessor::from_transformers(folder.processor.json(), folder.processor.place());
  }
  const Config timm = folder.config.at("pretrained_cfg");
  if (timm) return ImageProcessor::from_timm(timm.json(), timm.place());
  return ImageProcessor::from_transformers(
      {{"image_processor_type", "DINOv3ViTImageProcessor"},
       {"size", {{"height", c.image[0]}, {"width", c.image[1]}}}},
      "default");
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  Dinov3Config c = config_from_shapes(w);
  if (is_transformers(folder))
    read_transformers(folder.config, c);
  else
    read_timm(folder.config, c);
  if (c.heads < 1 || c.width % (4 * c.heads) != 0) {
    fail(ErrorCode::corrupt_data, "{}: {} heads do not divide a width of {} into multiples of 4",
         folder.config.place(), c.heads, c.width);
  }
  return std::make_unique<Dinov3>(w, c, processor_of(folder, c), read_labels(folder));
}

}  // namespace

const Family kDinov3Family = {"dinov3", "DINOv3ViTModel, timm vit_*_dinov3", matches, rename, load};

}  // namespace ocelli
