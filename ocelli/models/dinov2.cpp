#include "ocelli/models/dinov2.h"

#include "ocelli/models/vit.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

class Dinov2 final : public Model {
 public:
  Dinov2(const Weights& w, const VitConfig& c, ImageProcessor processor,
         std::vector<std::string> labels)
      : encoder_(w, c), processor_(processor), labels_(std::move(labels)) {
    if (const auto shape = w.shape_of("head.weight")) {
      head_ = Linear(w / "head", 2 * c.width, (*shape)[0]);
    }
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override { return encoder_.config().image; }
  int64_t embedding_size() const override { return encoder_.config().width; }
  int64_t depth() const override { return encoder_.config().depth; }
  std::optional<TokenLayout> token_layout() const override { return encoder_.layout(); }
  bool has_classifier() const override { return head_.weight.out_features() > 0; }
  const std::vector<std::string>& labels() const override { return labels_; }

  Tensor embed_image(const Tensor& pixels) const override {
    return clone(encoder_.pooled(pixels));
  }

  // The class token beside the mean of the patches: [B, 2C] to classes.
  Tensor classify(const Tensor& pixels) const override {
    if (!has_classifier()) return Model::classify(pixels);
    const Tensor x = encoder_(pixels);
    const Tensor patches = x.slice(1, encoder_.layout().prefix(), x.size(1));
    return head_(cat({x.select(1, 0), mean(patches, 1)}, 1));
  }

  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    return encoder_.features(pixels, request);
  }

 private:
  VitEncoder encoder_;
  Linear head_;
  ImageProcessor processor_;
  std::vector<std::string> labels_;
};

bool is_transformers(const ModelFolder& folder) {
  const std::string type = folder.config.get<std::string>("model_type", "");
  return type == "dinov2" || type == "dinov2_with_registers";
}

// Meta's checkpoints: those released, whose blocks are one list, and those of its training, whose
// blocks are in chunks and stand below "backbone" beside the heads.
bool is_meta(const ModelFolder& folder) {
  if (folder.config) return false;
  for (const std::string prefix : {"", "backbone."}) {
    if (folder.has_tensor(prefix + "mask_token") && folder.has_tensor(prefix + "pos_embed") &&
        (folder.has_tensor(prefix + "blocks.0.ls1.gamma") ||
         folder.has_tensor(prefix + "blocks.0.0.ls1.gamma"))) {
      return true;
    }
  }
  return false;
}

bool matches(const ModelFolder& folder) {
  return is_transformers(folder) || is_meta(folder);
}

using Parts = std::span<const std::pair<std::string_view, std::string_view>>;

// The first of `parts` that the name holds, replaced.
std::string replaced(std::string name, Parts parts) {
  for (const auto& [from, to] : parts) {
    const size_t at = name.find(from);
    if (at != std::string::npos) return name.replace(at, from.size(), to);
  }
  return name;
}

std::string from_transformers(std::string name) {
  for (const std::string_view prefix : {"dinov2.", "dinov2_with_registers."}) {
    if (name.starts_with(prefix)) name = name.substr(prefix.size());
  }
  static constexpr std::pair<std::string_view, std::string_view> kEmbeddings[] = {
      {"embeddings.position_embeddings", "pos_embed"},
      {"embeddings.register_tokens", "reg_token"},
      {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
      {"embeddings.", ""},
      {"classifier.", "head."},
      {"layernorm.", "norm."}};
  static constexpr std::pair<std::string_view, std::string_view> kBlock[] = {
      {"attention.attention.query", "attn.q"}, {"attention.attention.key", "attn.k"},
      {"attention.attention.value", "attn.v"}, {"attention.output.dense", "attn.proj"},
      {"layer_scale1.lambda1", "ls1.gamma"},   {"layer_scale2.lambda1", "ls2.gamma"},
      {"mlp.weights_in", "mlp.fc1"},           {"mlp.weights_out", "mlp.fc2"}};
  constexpr std::string_view kLayer = "encoder.layer.";
  if (!name.starts_with(kLayer)) return replaced(std::move(name), kEmbeddings);
  return replaced("blocks." + name.substr(kLayer.size()), kBlock);
}

std::string from_meta(std::string name) {
  if (name.starts_with("dino_head.") || name.starts_with("ibot_head.")) return "";
  if (name.starts_with("backbone.")) name = name.substr(9);
  if (name == "register_tokens") return "reg_token";
  if (!name.starts_with("blocks.")) return name;
  // "blocks.CHUNK.N.": N counts through all chunks.
  const size_t second = name.find('.', 7) + 1;
  if (second > 0 && second < name.size() &&
      std::isdigit(static_cast<unsigned char>(name[second]))) {
    name.erase(7, second - 7);
  }
  static constexpr std::pair<std::string_view, std::string_view> kBlock[] = {
      {".mlp.w12.", ".mlp.fc1."}, {".mlp.w3.", ".mlp.fc2."}};
  return replaced(std::move(name), kBlock);
}

Weights::Rename rename(const ModelFolder& folder) {
  return is_transformers(folder) ? from_transformers : from_meta;
}

// "image_size" and "patch_size" are numbers or pairs.
std::array<int64_t, 2> size_of(const Config& json, const char* field, int64_t fallback) {
  const auto size = json.get<nlohmann::json>(field, fallback);
  if (size.is_array()) {
    const auto pair = json.get<std::vector<int64_t>>(field, {});
    if (pair.size() == 2) return {pair[0], pair[1]};
  }
  const auto side = json.get<int64_t>(field, fallback);
  return {side, side};
}

VitConfig transformers_config(const Config& json, VitConfig c) {
  c.heads = json.get<int64_t>("num_attention_heads", 12);
  c.eps = json.get<float>("layer_norm_eps", 1e-6f);
  c.activation = parse_activation(json.get<std::string>("hidden_act", "gelu"));
  c.antialias = json.require<std::string>("model_type") == "dinov2_with_registers";
  const std::pair<const char*, int64_t> sizes[] = {{"hidden_size", c.width},
                                                   {"num_hidden_layers", c.depth}};
  for (const auto& [field, found] : sizes) {
    const auto said = json.get<int64_t>(field, found);
    if (said == found) continue;
    fail(ErrorCode::corrupt_data, "{}: '{}' is {} but the tensors of the checkpoint say {}",
         json.place(), field, said, found);
  }
  c.image = size_of(json, "image_size", 224);
  return c;
}

ImageProcessor processor_of(const ModelFolder& folder) {
  if (folder.processor) {
    return ImageProcessor::from_transformers(folder.processor.json(), folder.processor.place());
  }
  // Meta's make_classification_eval_transform.
  ImageProcessor p;
  p.resize = ImageProcessor::Resize::shortest;
  p.resize_height = p.resize_width = 256;
  p.crop = ImageProcessor::Crop::round;
  p.mean = {0.485f, 0.456f, 0.406f};
  p.std = {0.229f, 0.224f, 0.225f};
  return p;
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  VitConfig c = vit_config_from_shapes(w);
  if (is_transformers(folder)) {
    c = transformers_config(folder.config, c);
  } else {
    // As torch.hub makes them: those with registers came later, when this was put right.
    c.antialias = c.registers > 0;
    c.grid_offset = c.registers > 0 ? 0 : 0.1;
  }
  if (c.heads < 1 || c.width % c.heads != 0) {
    fail(ErrorCode::corrupt_data, "{}: {} heads do not divide a width of {}", w.path(), c.heads,
         c.width);
  }
  return std::make_unique<Dinov2>(w, c, processor_of(folder), read_labels(folder));
}

}  // namespace

const Family kDinov2Family = {
    "dinov2", "Dinov2Model, Dinov2WithRegistersModel, ...ForImageClassification, Meta's .pth",
    matches, rename, load};

}  // namespace ocelli
