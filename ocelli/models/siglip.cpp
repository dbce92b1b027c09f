#include "ocelli/models/siglip.h"

#include <cmath>

#include "ocelli/models/clip.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

struct TowerConfig {
  ClipEncoderConfig encoder;
  int64_t patch = 16;
};

TowerConfig tower_config(const Config& json, const Weights& w) {
  TowerConfig c;
  c.encoder = ClipEncoder::config_of(w / "encoder");
  c.encoder.heads = json.get<int64_t>("num_attention_heads", 12);
  c.encoder.activation = parse_activation(json.get<std::string>("hidden_act", "gelu_pytorch_tanh"));
  c.encoder.eps = json.get<float>("layer_norm_eps", 1e-6f);
  return c;
}

// A learnt probe attends over the patches; torch.nn.MultiheadAttention's names.
struct AttentionPoolingHead {
  Tensor query;  // [1, 1, H, D]
  Linear kv, out_proj;
  LayerNorm layernorm;
  Mlp mlp;
  int64_t heads;

  AttentionPoolingHead(const Weights& w, const ClipEncoderConfig& c)
      : out_proj(w / "attention.out_proj", c.width, c.width),
        layernorm(w / "layernorm", c.width, c.eps),
        mlp{Linear(w / "mlp.fc1", c.width, c.hidden), Linear(w / "mlp.fc2", c.hidden, c.width),
            c.activation},
        heads(c.heads) {
    const int64_t width = c.width;
    const Tensor weight = w.get("attention.in_proj_weight", {3 * width, width}),
                 bias = w.get("attention.in_proj_bias", {3 * width});
    const Tensor probe = w.get("probe", {1, 1, width});
    query = Linear(weight.slice(0, 0, width), bias.slice(0, 0, width))(probe).view(
        {1, 1, heads, width / heads});
    kv = Linear(weight.slice(0, width, 3 * width), bias.slice(0, width, 3 * width));
  }

  Tensor operator()(const Tensor& x) const {
    const int64_t batch = x.size(0), width = x.size(2);
    const Tensor y = kv(x).view({batch, x.size(1), 2, heads, width / heads});
    return finish(out_proj(
        attention(query.expand({batch, 1, heads, width / heads}), y.select(2, 0), y.select(2, 1))
            .view({batch, width})));
  }

  // What each token would give if the probe saw it alone: the value path of MaskCLIP's pooling,
  // Zhou et al., arXiv 2112.01071. [B, N, C]
  Tensor values(const Tensor& x) const {
    const Tensor y = kv(x);
    return finish(out_proj(y.slice(2, y.size(2) / 2, y.size(2))));
  }

 private:
  Tensor finish(Tensor z) const {
    const Tensor h = layernorm(z);
    return mlp(h, std::move(z));
  }
};

struct VisionTower {
  PatchEmbed patch_embedding;
  Tensor positions;  // [1, h*w, C]
  ClipEncoder encoder;
  LayerNorm post_layernorm;
  std::optional<AttentionPoolingHead> head;
  int64_t width, depth, patch, side;

  VisionTower(const Weights& w, const TowerConfig& c)
      : width(c.encoder.width), depth(c.encoder.depth) {
    const Weights embeddings = w / "embeddings";
    const Shape kernel = embeddings.get("patch_embedding.weight").shape();
    patch = kernel[-1];
    patch_embedding = PatchEmbed(embeddings / "patch_embedding", width, patch);
    const Shape places = embeddings.get("position_embedding.weight").shape();
    side = std::llround(std::sqrt(static_cast<double>(places[0])));
    positions = embeddings.get("position_embedding.weight", {side * side, width}).unsqueeze(0);
    embeddings.ignore("position_ids");
    encoder = ClipEncoder(w / "encoder", c.encoder);
    post_layernorm = LayerNorm(w / "post_layernorm", width, c.encoder.eps);
    if ((w / "head").exists()) head.emplace(w / "head", c.encoder);
  }

  Tensor embed(const Tensor& pixels) const {
    const Tensor places = resize_position_embedding(
        positions, 0, {side, side}, {pixels.size(1) / patch, pixels.size(2) / patch},
        {.mode = Interpolation::bicubic});
    return patch_embedding(pixels) + places;  // [B, N, C]
  }

  Tensor tokens(const Tensor& pixels) const { return post_layernorm(encoder(embed(pixels), {})); }

  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const {
    refuse_mask(request);
    LayerTap tap(request.layers, depth);
    encoder(embed(pixels), {}, tap);
    std::vector<Tensor> layers = tap.take();
    for (Tensor& x : layers) x = request.norm ? post_layernorm(x) : x;
    return layers;
  }
};

struct TextTower {
  Embedding token_embedding;
  Tensor positions;
  ClipEncoder encoder;
  LayerNorm final_layer_norm;
  Linear head;
  int64_t width;

  TextTower(const Weights& w, const TowerConfig& c) : width(c.encoder.width) {
    const Weights embeddings = w / "embeddings";
    token_embedding = Embedding(embeddings / "token_embedding",
                                embeddings.get("token_embedding.weight").size(0), width);
    positions = embeddings.get("position_embedding.weight");
    embeddings.ignore("position_ids");
    encoder = ClipEncoder(w / "encoder", c.encoder);
    final_layer_norm = LayerNorm(w / "final_layer_norm", width, c.encoder.eps);
    head = Linear(w / "head", width, w.get("head.weight").size(0));
  }

  // No mask: SigLIP was trained with its padding seen, and pools the last token.
  Tensor operator()(const Tensor& ids) const {
    check(ids.rank() == 2 && ids.size(1) <= positions.size(0),
          "text: ids are {} for a context of {} tokens", ids.shape(), positions.size(0));
    const Tensor x = encoder(token_embedding(ids) + positions.slice(0, 0, ids.size(1)), {});
    return head(final_layer_norm(x.select(1, -1)));
  }
};

class Siglip final : public Model {
 public:
  Siglip(std::optional<VisionTower> vision, std::optional<TextTower> text, Linear classifier,
         ImageProcessor processor, std::vector<std::string> labels, Similarity similarity)
      : vision_(std::move(vision)),
        text_(std::move(text)),
        classifier_(std::move(classifier)),
        processor_(processor),
        labels_(std::move(labels)),
        similarity_(similarity) {}

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override {
    const int64_t size = vision_ ? vision_->side * vision_->patch : 0;
    return {size, size};
  }
  int64_t embedding_size() const override {
    return vision_ ? vision_->width : text_->head.weight.out_features();
  }
  int64_t depth() const override { return vision_ ? vision_->depth : 0; }
  bool has_classifier() const override { return classifier_.weight.out_features() > 0; }
  const std::vector<std::string>& labels() const override { return labels_; }
  bool has_text() const override { return text_.has_value(); }
  TextFormat text_format() const override { return {text_ ? text_->positions.size(0) : 0}; }
  Similarity similarity() const override { return similarity_; }

  Tensor embed_image(const Tensor& pixels) const override {
    const Tensor tokens = vision().tokens(pixels);
    return vision_->head ? (*vision_->head)(tokens) : mean(tokens, 1);
  }
  // SiglipForImageClassification: the mean of the patches.
  Tensor classify(const Tensor& pixels) const override {
    return has_classifier() ? classifier_(mean(vision().tokens(pixels), 1))
                            : Model::classify(pixels);
  }
  Tensor embed_text(const Tensor& ids, const Tensor&) const override {
    return text_ ? (*text_)(ids) : Model::embed_text(ids, {});
  }
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    return vision().features(pixels, request);
  }
  std::optional<TokenLayout> token_layout() const override {
    return vision_ ? std::optional(TokenLayout{0, 0, vision_->patch}) : std::nullopt;
  }
  Tensor embed_patches(const Tensor& pixels) const override {
    const Tensor tokens = vision().tokens(pixels);
    return vision_->head ? vision_->head->values(tokens) : tokens;
  }

 private:
  const VisionTower& vision() const {
    if (!vision_) fail(ErrorCode::unsupported, "this model has no image tower");
    return *vision_;
  }

  std::optional<VisionTower> vision_;
  std::optional<TextTower> text_;
  Linear classifier_;
  ImageProcessor processor_;
  std::vector<std::string> labels_;
  Similarity similarity_;
};

bool matches(const ModelFolder& folder) {
  const std::string type = folder.type();
  return type == "siglip" || type == "siglip_vision_model" || type == "siglip_text_model";
}

// The single towers may be saved without their name.
Weights::Rename rename(const ModelFolder& folder) {
  const std::string tower = folder.has_tensor("embeddings.patch_embedding.weight") ? "vision_model."
                            : folder.has_tensor("embeddings.token_embedding.weight") ? "text_model."
                                                                                     : "";
  if (tower.empty()) return {};
  return [tower](const std::string& name) { return tower + name; };
}

ImageProcessor processor_of(const ModelFolder& folder, int64_t size) {
  if (folder.processor)
    return ImageProcessor::from_transformers(folder.processor.json(), folder.processor.place());
  ImageProcessor p;
  p.resize_height = p.resize_width = size;
  return p;
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  const auto part = [&](const char* name) {
    return folder.config.has(name) ? folder.config.at(name) : folder.config;
  };
  std::optional<VisionTower> vision;
  std::optional<TextTower> text;
  if ((w / "vision_model").exists())
    vision.emplace(w / "vision_model", tower_config(part("vision_config"), w / "vision_model"));
  if ((w / "text_model").exists())
    text.emplace(w / "text_model", tower_config(part("text_config"), w / "text_model"));
  if (!vision && !text)
    fail(ErrorCode::corrupt_data, "{}: holds neither tower of a SigLIP", w.path());
  Linear classifier;
  if (const auto shape = w.shape_of("classifier.weight"))
    classifier = Linear(w / "classifier", vision->width, (*shape)[0]);
  Similarity similarity{1, 0, true};
  if (w.has("logit_scale")) similarity.scale = std::exp(w.get("logit_scale").data<float>()[0]);
  if (w.has("logit_bias")) similarity.bias = w.get("logit_bias").data<float>()[0];
  const int64_t size = vision ? vision->side * vision->patch : 0;
  return std::make_unique<Siglip>(std::move(vision), std::move(text), std::move(classifier),
                                  processor_of(folder, size), read_labels(folder), similarity);
}

}  // namespace

const Family kSiglipFamily = {
    "siglip",
    "SiglipModel and its parts, SiglipForImageClassification, SigLIP 2 of fixed resolution",
    matches, rename, load};

}  // namespace ocelli
