#include "ocelli/models/vit.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ocelli/base/log.h"
#include "ocelli/ops/elementwise.h"

namespace ocelli {

VitConfig vit_config_from_shapes(const Weights& w) {
  VitConfig c;
  const Shape patch = w.get("patch_embed.proj.weight").shape();
  c.width = patch[0];
  c.patch = patch[-1];
  c.depth = w.count("blocks");
  const auto hidden = w.shape_of("blocks.0.mlp.fc1.weight");
  const auto positions = w.shape_of("pos_embed");
  if (c.depth == 0 || !hidden || !positions || positions->rank() != 3) {
    fail(ErrorCode::corrupt_data,
         "{}: has a patch embedding but no blocks or no pos_embed of a ViT", w.path());
  }
  c.hidden = (*hidden)[0];
  c.class_tokens = (w.has("cls_token") ? 1 : 0) + (w.has("dist_token") ? 1 : 0);
  if (const auto registers = w.shape_of("reg_token")) c.registers = (*registers)[1];
  const auto is_square = [](int64_t n) {
    const auto root = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(n))));
    return root * root == n;
  };
  int64_t grid = (*positions)[1] - c.class_tokens;
  c.embeds_prefix = c.class_tokens > 0 && is_square(grid);
  if (!c.embeds_prefix) grid = (*positions)[1];
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(grid))));
  c.image = {side * c.patch, side * c.patch};
  if (w.has("attn_pool.latent"))
    c.pool = VitConfig::Pool::map;
  else if (w.has("fc_norm.weight") || c.class_tokens == 0)
    c.pool = VitConfig::Pool::average;
  // timm's widths whose heads are not 64 wide: so400m, huge, giant, gigantic.
  static const std::map<int64_t, int64_t> kHeads = {
      {1152, 16}, {1280, 16}, {1408, 16}, {1536, 24}, {1664, 16}};
  const auto known = kHeads.find(c.width);
  c.heads = known != kHeads.end() ? known->second : std::max<int64_t>(c.width / 64, 1);
  return c;
}

void apply_timm_name(std::string_view architecture, VitConfig& c) {
  const auto is = [&](std::string_view part) {
    return architecture.find(part) != std::string::npos;
  };
  c.post_norm = is("_rpn_");
  if (is("_clip_")) c.eps = 1e-5f;
  if (is("vit_base_patch16_gap_224")) c.heads = 16;
  const bool wide_siglip = is("so400m_patch16_siglip") || is("giantopt") ||
                           is("base_patch32_siglip") || (is("large_patch16_siglip") && is("_512"));
  if (is("_quickgelu_"))
    c.activation = Unary::quick_gelu;
  else if (wide_siglip)
    c.activation = Unary::gelu_tanh;
}

namespace {

class Vit final : public Model {
 public:
  Vit(const Weights& w, const VitConfig& c, ImageProcessor processor,
      std::vector<std::string> labels)
      : encoder_(w, c), processor_(processor), labels_(std::move(labels)) {
    if (const auto shape = w.shape_of("head.weight"))
      head_ = Linear(w / "head", c.width, (*shape)[0]);
    if (const auto shape = w.shape_of("head_dist.weight"))
      head_dist_ = Linear(w / "head_dist", c.width, (*shape)[0]);
    // transformers' pooler is a leftover of BERT: no published ViT was trained with it.
    w.ignore("pooler");
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override { return encoder_.config().image; }
  int64_t embedding_size() const override { return encoder_.config().width; }
  int64_t depth() const override { return encoder_.config().depth; }
  bool has_classifier() const override { return head_.weight.out_features() > 0; }
  const std::vector<std::string>& labels() const override { return labels_; }

  Tensor embed_image(const Tensor& pixels) const override {
    return encoder_.pooled(pixels);
  }

  Tensor classify(const Tensor& pixels) const override {
    if (!has_classifier()) return Model::classify(pixels);
    const std::vector<Tensor> logits = classifiers(pixels);
    return logits.size() == 2 ? (logits[0] + logits[1]) * 0.5f : logits[0];
  }

  std::vector<Tensor> classifiers(const Tensor& pixels) const override {
    if (head_dist_.weight.out_features() == 0) return {head_(encoder_.pooled(pixels))};
    const Tensor tokens = encoder_(pixels);
    return {head_(tokens.select(1, 0)), head_dist_(tokens.select(1, 1))};
  }

  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    return encoder_.features(pixels, request);
  }
  std::optional<TokenLayout> token_layout() const override { return encoder_.layout(); }

 private:
  VitEncoder encoder_;
  Linear head_, head_dist_;
  ImageProcessor processor_;
  std::vector<std::string> labels_;
};

bool replace_prefix(std::string& name, std::string_view from, std::string_view to) {
  if (!name.starts_with(from)) return false;
  name = std::string(to) + name.substr(from.size());
  return true;
}

// transformers' names to timm's.
std::string from_transformers(std::string name) {
  replace_prefix(name, "vit.", "") || replace_prefix(name, "deit.", "");
  if (replace_prefix(name, "embeddings.", "")) {
    if (name == "position_embeddings") return "pos_embed";
    if (name == "distillation_token") return "dist_token";
    replace_prefix(name, "patch_embeddings.projection", "patch_embed.proj");
    return name;
  }
  if (replace_prefix(name, "encoder.layer.", "blocks.")) {
    static const std::pair<std::string_view, std::string_view> kParts[] = {
        {"attention.attention.query", "attn.q"}, {"attention.attention.key", "attn.k"},
        {"attention.attention.value", "attn.v"}, {"attention.output.dense", "attn.proj"},
        {"layernorm_before", "norm1"},           {"layernorm_after", "norm2"},
        {"intermediate.dense", "mlp.fc1"},       {"output.dense", "mlp.fc2"}};
    for (const auto& [from, to] : kParts) {
      const size_t at = name.find(from);
      if (at != std::string::npos) return name.replace(at, from.size(), to);
    }
    return name;
  }
  replace_prefix(name, "layernorm.", "norm.");
  replace_prefix(name, "distillation_classifier.", "head_dist.");
  replace_prefix(name, "cls_classifier.", "head.");
  replace_prefix(name, "classifier.", "head.");
  return name;
}

bool is_transformers(const ModelFolder& folder) {
  const std::string type = folder.type();
  return folder.config.has("model_type") && (type == "vit" || type == "deit");
}

bool matches(const ModelFolder& folder) {
  if (is_transformers(folder)) return true;
  const std::string type = folder.type();
  if (folder.config.has("model_type")) return false;
  static constexpr std::string_view kNames[] = {"vit_", "deit", "flexivit_", "eva_large_"};
  // Rotary positions, which leave no tensor: timm's Perception Encoders.
  if (type.starts_with("vit_pe_")) return false;
  if (!type.empty() &&
      std::ranges::none_of(kNames, [&](auto name) { return type.starts_with(name); }))
    return false;
  return folder.has_tensor("patch_embed.proj.weight") &&
         folder.has_tensor("blocks.0.attn.qkv.weight") && folder.has_tensor("pos_embed");
}

Weights::Rename rename(const ModelFolder& folder) {
  if (is_transformers(folder)) return from_transformers;
  return {};
}

VitConfig transformers_config(const Config& json, VitConfig c) {
  c.heads = json.require<int64_t>("num_attention_heads");
  c.eps = json.get<float>("layer_norm_eps", 1e-12f);
  c.activation = parse_activation(json.get<std::string>("hidden_act", "gelu"));
  c.antialias = false;
  c.pool = VitConfig::Pool::token;
  const auto agree = [&](const char* field, int64_t found) {
    const auto said = json.require<int64_t>(field);
    if (said != found) {
      fail(ErrorCode::corrupt_data, "{}: '{}' is {} but the tensors of the checkpoint say {}",
           json.place(), field, said, found);
    }
  };
  agree("hidden_size", c.width);
  agree("num_hidden_layers", c.depth);
  agree("intermediate_size", c.hidden);
  agree("patch_size", c.patch);
  const nlohmann::json size = json.get<nlohmann::json>("image_size", 224);
  if (size.is_array() && size.size() == 2 && size[0].is_number_integer() &&
      size[1].is_number_integer())
    c.image = {size[0].get<int64_t>(), size[1].get<int64_t>()};
  else if (size.is_number_integer())
    c.image = {size.get<int64_t>(), size.get<int64_t>()};
  return c;
}

VitConfig timm_config(const Config& json, VitConfig c) {
  const Config args = json.at("model_args");
  apply_timm_name(json.get<std::string>("architecture", ""), c);
  c.heads = args.get<int64_t>("num_heads", c.heads);
  if (args.has("act_layer"))
    c.activation = parse_activation(args.get<std::string>("act_layer", "gelu"));
  const std::string pool =
      json.get<std::string>("global_pool", args.get<std::string>("global_pool", ""));
  if (pool == "avg")
    c.pool = VitConfig::Pool::average;
  else if (pool == "token")
    c.pool = VitConfig::Pool::token;
  else if (pool == "map")
    c.pool = VitConfig::Pool::map;
  else if (!pool.empty())
    fail(ErrorCode::unsupported, "{}: global_pool '{}'", json.place(), pool);
  const nlohmann::json size = json.at("pretrained_cfg").get<nlohmann::json>("input_size", nullptr);
  if (size.is_array() && size.size() == 3 && size[1].is_number_integer() &&
      size[2].is_number_integer() && size[1] != size[2]) {
    c.image = {size[1].get<int64_t>(), size[2].get<int64_t>()};
  }
  return c;
}

ImageProcessor processor_of(const ModelFolder& folder, const VitConfig& c) {
  if (folder.processor)
    return ImageProcessor::from_transformers(folder.processor.json(), folder.processor.place());
  const Config timm = folder.config.at("pretrained_cfg");
  if (timm) return ImageProcessor::from_timm(timm.json(), timm.place());
  // augreg, the most published timm ViTs: crop 0.9, mean and std 0.5.
  nlohmann::json guess = {{"input_size", {3, c.image[0], c.image[1]}},
                          {"crop_pct", 0.9},
                          {"mean", {0.5, 0.5, 0.5}},
                          {"std", {0.5, 0.5, 0.5}}};
  log(LogLevel::info,
      fmt::format(
          "{}: no preprocessing in the folder; bicubic, crop 0.9, mean and std 0.5 are assumed",
          folder.path.string()));
  return ImageProcessor::from_timm(guess, "default");
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  const bool transformers = is_transformers(folder);
  VitConfig c = vit_config_from_shapes(w);
  if (transformers)
    c = transformers_config(folder.config, c);
  else if (folder.config)
    c = timm_config(folder.config, c);
  if (!transformers && c.class_tokens == 2) c.pool = VitConfig::Pool::distilled;
  if (c.width % c.heads != 0) {
    fail(ErrorCode::corrupt_data, "{}: {} heads do not divide a width of {}", folder.config.place(),
         c.heads, c.width);
  }
  auto model = std::make_unique<Vit>(w, c, processor_of(folder, c), read_labels(folder));
  // A block with other parts than a ViT's computes something else.
  for (const std::string& name : w.report().unused) {
    if (name.find("blocks.") == std::string::npos) continue;
    fail(ErrorCode::unsupported,
         "{}: the tensor {} belongs to a kind of block that vit does not have", w.path(), name);
  }
  return model;
}

}  // namespace

const Family kVitFamily = {"vit", "ViTModel, ViTForImageClassification, DeiT..., timm vit_*, deit*",
                           matches, rename, load};

}  // namespace ocelli
