#include "ocelli/models/new_weights.h"

#include <cmath>
#include <map>

#include "ocelli/base/log.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/memory_source.h"
#include "ocelli/nn/init.h"

namespace ocelli {
namespace {

using Tensors = std::map<std::string, Tensor, std::less<>>;

// Tensors in the order in which they are drawn. PyTorch's trunc_normal_ cuts at 2, a hundred of the
// usual deviations from 0, so that a normal distribution is the same.
class Begin {
 public:
  explicit Begin(uint64_t seed) : rng_(seed) {}

  void normal(const std::string& name, const Shape& shape, double deviation) {
    tensors_[name] = random_normal(shape, static_cast<float>(deviation), rng_);
  }
  void constant(const std::string& name, const Shape& shape, double value) {
    tensors_[name] = Tensor::full(shape, static_cast<float>(value));
  }
  void linear(const std::string& name, int64_t in, int64_t out, double deviation,
              bool bias = true) {
    normal(name + ".weight", {out, in}, deviation);
    if (bias) constant(name + ".bias", {out}, 0);
  }
  void norm(const std::string& name, int64_t width) {
    constant(name + ".weight", {width}, 1);
    constant(name + ".bias", {width}, 0);
  }

  Tensors take() { return std::move(tensors_); }

 private:
  Rng rng_;
  Tensors tensors_;
};

int64_t size_in(const Config& config, const char* field, int64_t fallback) {
  constexpr int64_t kLargest = 1 << 20;
  const auto size = config.get<int64_t>(field, fallback);
  if (size >= 1 && size <= kLargest) return size;
  fail(ErrorCode::corrupt_data, "{}: the field '{}' is {}, not between 1 and {}", config.place(),
       field, size, kLargest);
}

// What transformers' configurations of encoders have in common.
struct Sizes {
  int64_t width, depth, hidden, patch, image;

  Sizes(const Config& c, const Sizes& usual)
      : width(size_in(c, "hidden_size", usual.width)),
        depth(size_in(c, "num_hidden_layers", usual.depth)),
        hidden(size_in(c, "intermediate_size", usual.hidden)),
        patch(size_in(c, "patch_size", usual.patch)),
        image(size_in(c, "image_size", usual.image)) {
    if (image >= patch) return;
    fail(ErrorCode::corrupt_data, "{}: image_size {} is smaller than patch_size {}", c.place(),
         image, patch);
  }
  Sizes(int64_t width_, int64_t depth_, int64_t hidden_, int64_t patch_, int64_t image_)
      : width(width_), depth(depth_), hidden(hidden_), patch(patch_), image(image_) {}

  int64_t patches() const { return (image / patch) * (image / patch); }
};

const Sizes kBase = {768, 12, 3072, 16, 224};

bool is_classifier(const Config& config) {
  return config.get<nlohmann::json>("architectures", {}).dump().find("ForImageClassification") !=
         std::string::npos;
}

// As many as "id2label" names; transformers' two without.
int64_t classes_of(const Config& config) {
  const Config labels = config.at("id2label");
  return labels ? std::ssize(labels.json()) : 2;
}

// Patches, positions and the class token, which ViT and DINOv2 name alike.
void embeddings(Begin& begin, const std::string& at, const Sizes& s, double deviation) {
  begin.normal(at + "cls_token", {1, 1, s.width}, deviation);
  begin.normal(at + "position_embeddings", {1, 1 + s.patches(), s.width}, deviation);
  begin.normal(at + "patch_embeddings.projection.weight", {s.width, 3, s.patch, s.patch},
               deviation);
  begin.constant(at + "patch_embeddings.projection.bias", {s.width}, 0);
}

void self_attention(Begin& begin, const std::string& at, const Sizes& s, double deviation,
                    bool bias) {
  for (const char* part : {"query", "key", "value"}) {
    begin.linear(at + "attention.attention." + part, s.width, s.width, deviation, bias);
  }
  begin.linear(at + "attention.output.dense", s.width, s.width, deviation);
}

void vit(Begin& begin, const Config& c) {
  const Sizes s(c, kBase);
  const auto deviation = c.get<double>("initializer_range", 0.02);
  const bool classifies = is_classifier(c) || !c.has("architectures");
  const std::string base = classifies ? c.require<std::string>("model_type") + "." : "";
  embeddings(begin, base + "embeddings.", s, deviation);
  for (int64_t i = 0; i < s.depth; ++i) {
    const std::string at = fmt::format("{}encoder.layer.{}.", base, i);
    begin.norm(at + "layernorm_before", s.width);
    self_attention(begin, at, s, deviation, c.get<bool>("qkv_bias", true));
    begin.norm(at + "layernorm_after", s.width);
    begin.linear(at + "intermediate.dense", s.width, s.hidden, deviation);
    begin.linear(at + "output.dense", s.hidden, s.width, deviation);
  }
  begin.norm(base + "layernorm", s.width);
  if (classifies) begin.linear("classifier", s.width, classes_of(c), deviation);
}

void dinov2_mlp(Begin& begin, const std::string& at, const Config& c, int64_t width,
                double deviation) {
  const auto hidden =
      static_cast<int64_t>(static_cast<double>(width) * c.get<double>("mlp_ratio", 4));
  check(hidden >= 1, "{}: mlp_ratio leaves no hidden channel", c.place());
  if (!c.get<bool>("use_swiglu_ffn", false)) {
    begin.linear(at + "mlp.fc1", width, hidden, deviation);
    return begin.linear(at + "mlp.fc2", hidden, width, deviation);
  }
  const int64_t gated = (hidden * 2 / 3 + 7) / 8 * 8;
  begin.linear(at + "mlp.weights_in", width, 2 * gated, deviation);
  begin.linear(at + "mlp.weights_out", gated, width, deviation);
}

void dinov2(Begin& begin, const Config& c) {
  const Sizes s(c, {768, 12, 3072, 14, 224});
  const auto deviation = c.get<double>("initializer_range", 0.02);
  const auto type = c.require<std::string>("model_type");
  const std::string base = is_classifier(c) ? type + "." : "";
  embeddings(begin, base + "embeddings.", s, deviation);
  if (c.get<bool>("use_mask_token", true)) {
    begin.constant(base + "embeddings.mask_token", {1, s.width}, 0);
  }
  if (type == "dinov2_with_registers") {
    const int64_t registers = size_in(c, "num_register_tokens", 4);
    begin.constant(base + "embeddings.register_tokens", {1, registers, s.width}, 0);
  }
  const auto scale = c.get<double>("layerscale_value", 1);
  for (int64_t i = 0; i < s.depth; ++i) {
    const std::string at = fmt::format("{}encoder.layer.{}.", base, i);
    begin.norm(at + "norm1", s.width);
    self_attention(begin, at, s, deviation, c.get<bool>("qkv_bias", true));
    begin.constant(at + "layer_scale1.lambda1", {s.width}, scale);
    begin.norm(at + "norm2", s.width);
    dinov2_mlp(begin, at, c, s.width, deviation);
    begin.constant(at + "layer_scale2.lambda1", {s.width}, scale);
  }
  begin.norm(base + "layernorm", s.width);
  if (is_classifier(c)) begin.linear("classifier", 2 * s.width, classes_of(c), deviation);
}

// Radford et al., arXiv 2103.00020: the deeper, the smaller what a block adds.
void clip_encoder(Begin& begin, const std::string& tower, const Sizes& s) {
  const auto width = static_cast<double>(s.width);
  const double out = 1 / std::sqrt(width);
  const double in = out / std::sqrt(2 * static_cast<double>(s.depth));
  for (int64_t i = 0; i < s.depth; ++i) {
    const std::string at = fmt::format("{}.encoder.layers.{}.", tower, i);
    begin.norm(at + "layer_norm1", s.width);
    for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
      begin.linear(at + "self_attn." + part, s.width, s.width, in);
    }
    begin.linear(at + "self_attn.out_proj", s.width, s.width, out);
    begin.norm(at + "layer_norm2", s.width);
    begin.linear(at + "mlp.fc1", s.width, s.hidden, 1 / std::sqrt(2 * width));
    begin.linear(at + "mlp.fc2", s.hidden, s.width, in);
  }
}

void clip(Begin& begin, const Config& c) {
  const Config text = c.at("text_config"), vision = c.at("vision_config");
  const Sizes t(text, {512, 12, 2048, 1, 1}), v(vision, {768, 12, 3072, 32, 224});
  const int64_t shared = size_in(c, "projection_dim", 512);
  const auto inverse_root = [](int64_t n) { return 1 / std::sqrt(static_cast<double>(n)); };
  const std::string words = "text_model.embeddings.", image = "vision_model.embeddings.";
  begin.normal(words + "token_embedding.weight", {size_in(text, "vocab_size", 49408), t.width},
               0.02);
  begin.normal(words + "position_embedding.weight",
               {size_in(text, "max_position_embeddings", 77), t.width}, 0.02);
  clip_encoder(begin, "text_model", t);
  begin.norm("text_model.final_layer_norm", t.width);
  const auto deviation = vision.get<double>("initializer_range", 0.02);
  begin.normal(image + "class_embedding", {v.width}, inverse_root(v.width));
  begin.normal(image + "patch_embedding.weight", {v.width, 3, v.patch, v.patch}, deviation);
  begin.normal(image + "position_embedding.weight", {1 + v.patches(), v.width}, deviation);
  begin.norm("vision_model.pre_layrnorm", v.width);
  clip_encoder(begin, "vision_model", v);
  begin.norm("vision_model.post_layernorm", v.width);
  begin.linear("visual_projection", v.width, shared, inverse_root(v.width), false);
  begin.linear("text_projection", t.width, shared, inverse_root(t.width), false);
  begin.constant("logit_scale", {}, c.get<double>("logit_scale_init_value", 2.6592));
}

void bert(Begin& begin, const Config& c) {
  const auto width = size_in(c, "hidden_size", 768), hidden = size_in(c, "intermediate_size", 3072);
  const auto deviation = c.get<double>("initializer_range", 0.02);
  const auto layer_norm = [&](const std::string& at) { begin.norm(at + "LayerNorm", width); };
  const auto embedding = [&](const std::string& name, int64_t rows) {
    begin.normal("embeddings." + name + "_embeddings.weight", {rows, width}, deviation);
  };
  embedding("word", size_in(c, "vocab_size", 30522));
  embedding("position", size_in(c, "max_position_embeddings", 512));
  embedding("token_type", size_in(c, "type_vocab_size", 2));
  layer_norm("embeddings.");
  for (int64_t i = 0; i < size_in(c, "num_hidden_layers", 12); ++i) {
    const std::string at = fmt::format("encoder.layer.{}.", i);
    for (const char* part : {"query", "key", "value"}) {
      begin.linear(at + "attention.self." + part, width, width, deviation);
    }
    begin.linear(at + "attention.output.dense", width, width, deviation);
    layer_norm(at + "attention.output.");
    begin.linear(at + "intermediate.dense", width, hidden, deviation);
    begin.linear(at + "output.dense", hidden, width, deviation);
    layer_norm(at + "output.");
  }
  begin.linear("pooler.dense", width, width, deviation);
}

}  // namespace

ModelFolder open_or_begin(const std::filesystem::path& path, uint64_t seed) {
  if (!std::filesystem::is_directory(path) || has_checkpoint(path) ||
      !std::filesystem::exists(path / "config.json")) {
    return ModelFolder::open(path);
  }
  ModelFolder folder = ModelFolder::open_texts(path);
  const std::string type = folder.config.get<std::string>("model_type", "");
  const std::map<std::string, void (*)(Begin&, const Config&)> known = {
      {"vit", vit},
      {"dinov2", dinov2},
      {"dinov2_with_registers", dinov2},
      {"clip", clip},
      {"bert", bert}};
  const auto found = known.find(type);
  if (found == known.end()) {
    fail(ErrorCode::unsupported,
         "{}: has no checkpoint, and no model of type '{}' can be begun from config.json alone; "
         "vit, dinov2, dinov2_with_registers, clip and bert can",
         path.string(), type);
  }
  Begin begin(seed);
  found->second(begin, folder.config);
  folder.checkpoint = folder.stored = std::make_shared<MemorySource>(begin.take(), path.string());
  log(LogLevel::info,
      fmt::format("{}: no checkpoint here; the model begins with new weights", path.string()));
  return folder;
}

}  // namespace ocelli
