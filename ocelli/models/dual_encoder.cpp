#include "ocelli/models/dual_encoder.h"

#include <fmt/ranges.h>

#include <array>
#include <cmath>

#include "ocelli/formats/memory_source.h"
#include "ocelli/nn/init.h"
#include "ocelli/nn/layers.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

constexpr const char *kType = "vision-text-dual-encoder", *kVision = "vision_model.",
                     *kText = "text_model.", *kVisionConfig = "vision_config",
                     *kTextConfig = "text_config";

constexpr float kGain = 0.1f;  // of new MLPs: they begin as a little beside the linear part

struct Projection {
  Linear linear, fc1, fc2, ridge;
  float ridge_weight;

  Projection(const Weights& w, float weight_of_ridge) : ridge_weight(weight_of_ridge) {
    const Shape shape = matrix_shape(w, "weight");
    linear = Linear(w, shape[1], shape[0], false);
    if (w.has("fc1.weight")) {
      const int64_t hidden = matrix_shape(w, "fc1.weight")[0];
      fc1 = Linear(w / "fc1", shape[1], hidden);
      fc2 = Linear(w / "fc2", hidden, shape[0], false);
    }
    if (weight_of_ridge > 0) {
      ridge = Linear(w / "ridge", shape[1], matrix_shape(w, "ridge.weight")[0]);
    }
  }

  static Shape matrix_shape(const Weights& w, const char* name) {
    const auto shape = w.shape_of(name);
    if (!shape || shape->rank() != 2) {
      fail(shape ? ErrorCode::corrupt_data : ErrorCode::not_found,
           "{}: the matrix {}.{} is missing", w.path(), w.prefix(), name);
    }
    return *shape;
  }

  std::array<int64_t, 2> widths() const {
    return {linear.weight.out_features(), ridge.weight.out_features()};
  }

  Tensor operator()(const Tensor& x) const {
    check(x.rank() == 2 && x.size(1) == linear.weight.in_features(),
          "the tower's features are {} but its projection takes {}", x.shape(),
          linear.weight.in_features());
    Tensor y = linear(x);
    if (fc1.weight.out_features()) y = fc2(fc1(x, {.activation = Unary::gelu}), {.residual = y});
    if (ridge_weight == 0) return y;
    return cat({normalize(y), normalize(ridge(x)) * std::sqrt(ridge_weight)}, 1);
  }
};

// Without towers, where projections learn alone, it projects their features.
class DualEncoder final : public Model {
 public:
  DualEncoder(std::unique_ptr<Model> vision, std::unique_ptr<Model> text, const Weights& w,
              float ridge_weight, const std::optional<ImageProcessor>& processor)
      : vision_(std::move(vision)),
        text_(std::move(text)),
        visual_projection_(w / "visual_projection", ridge_weight),
        text_projection_(w / "text_projection", ridge_weight) {
    if (visual_projection_.widths() != text_projection_.widths()) {
      fail(ErrorCode::corrupt_data, "{}: images become {} numbers but texts {}", w.path(),
           fmt::join(visual_projection_.widths(), " + "),
           fmt::join(text_projection_.widths(), " + "));
    }
    // transformers takes each tower's pooler_output, and ViT's has a layer that others leave out.
    if (w.has("vision_model.pooler.dense.weight")) {
      const int64_t width = vision_->embedding_size();
      pooler_ = Linear(w / "vision_model.pooler.dense", width, width);
    }
    if (vision_) {
      processor_ = processor.value_or(vision_->image_processor());
      size_ = processor ? processor->output_size() : vision_->native_size();
    }
    const float scale = std::exp(contiguous(w.get("logit_scale")).data<float>()[0]);
    similarity_.scale = scale * (1 + ridge_weight);  // that of cos(y) alone stays
    similarity_.sigmoid = w.has("logit_bias");
    if (similarity_.sigmoid) similarity_.bias = contiguous(w.get("logit_bias")).data<float>()[0];
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override { return size_; }
  int64_t embedding_size() const override {
    const auto [learnt, ridge] = visual_projection_.widths();
    return learnt + ridge;
  }
  int64_t depth() const override { return vision_ ? vision_->depth() : 0; }
  bool has_classifier() const override { return vision_ && vision_->has_classifier(); }
  const std::vector<std::string>& labels() const override { return vision().labels(); }
  bool has_text() const override { return true; }
  TextFormat text_format() const override { return text().text_format(); }
  Similarity similarity() const override { return similarity_; }
  std::optional<TokenLayout> token_layout() const override {
    return vision_ ? vision_->token_layout() : std::nullopt;
  }

  Tensor embed_image(const Tensor& pixels) const override {
    return project_image(image_features(pixels));
  }
  Tensor embed_text(const Tensor& ids, const Tensor& mask) const override {
    return project_text(text_features(ids, mask));
  }
  int64_t context_width() const override { return text_ ? text_->context_width() : 0; }
  Tensor embed_prompt(const Tensor& ids, const Tensor& mask, const Tensor& context) const override {
    return project_text(text().embed_prompt(ids, mask, context));
  }
  Tensor classify(const Tensor& pixels) const override { return vision().classify(pixels); }
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    return vision().features(pixels, request);
  }

  Tensor image_features(const Tensor& pixels) const override {
    const Tensor x = vision().embed_image(pixels);
    return pooler_.weight.out_features() ? tanh(pooler_(x)) : x;
  }
  Tensor text_features(const Tensor& ids, const Tensor& mask) const override {
    return text().embed_text(ids, mask);
  }
  Tensor project_image(const Tensor& x) const override { return visual_projection_(x); }
  Tensor project_text(const Tensor& x) const override { return text_projection_(x); }

 private:
  const Model& vision() const { return *check_tower(vision_); }
  const Model& text() const { return *check_tower(text_); }

  static const Model* check_tower(const std::unique_ptr<Model>& tower) {
    if (!tower) fail(ErrorCode::unsupported, "these are projections without their towers");
    return tower.get();
  }

  std::unique_ptr<Model> vision_, text_;
  Linear pooler_;
  Projection visual_projection_, text_projection_;
  Similarity similarity_;
  ImageProcessor processor_;
  std::array<int64_t, 2> size_ = {0, 0};
};

bool matches(const ModelFolder& folder) {
  return folder.type() == kType;
}

// Each tower's names as its own family has them, below the tower's prefix.
Weights::Rename rename(const ModelFolder& folder) {
  std::map<std::string, Weights::Rename> towers;
  for (const auto& [prefix, field] : {std::pair(kVision, kVisionConfig), {kText, kTextConfig}}) {
    if (const auto tower = folder.tower(prefix, field)) {
      towers[prefix] = find_family(*tower).rename(*tower);
    }
  }
  return [towers](const std::string& name) {
    for (const auto& [prefix, own] : towers) {
      if (!name.starts_with(prefix)) continue;
      const std::string rest = name.substr(prefix.size()), renamed = own ? own(rest) : rest;
      return renamed.empty() ? renamed : prefix + renamed;
    }
    return name;
  };
}

std::unique_ptr<Model> load_tower(const std::optional<ModelFolder>& tower, const Weights& w) {
  return tower ? find_family(*tower).load(*tower, w) : nullptr;
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  auto vision = load_tower(folder.tower(kVision, kVisionConfig), w / "vision_model");
  auto text = load_tower(folder.tower(kText, kTextConfig), w / "text_model");
  // Of towers in one folder the vision tower reads it.
  std::optional<ImageProcessor> processor;
  if (folder.processor && !folder.towers.empty()) {
    processor =
        ImageProcessor::from_transformers(folder.processor.json(), folder.processor.place());
  }
  const auto ridge_weight = folder.config.get<float>("ridge_weight", 0);
  if (!(ridge_weight >= 0 && std::isfinite(ridge_weight))) {
    fail(ErrorCode::corrupt_data, "{}: ridge_weight is {}", folder.config.place(), ridge_weight);
  }
  return std::make_unique<DualEncoder>(std::move(vision), std::move(text), w, ridge_weight,
                                       processor);
}

Tensor random_matrix(int64_t rows, int64_t columns, Rng& rng, float gain = 1) {
  return random_normal({rows, columns}, gain / std::sqrt(static_cast<float>(columns)), rng);
}

Tensor unit_matrix(int64_t size) {
  const Tensor matrix = Tensor::zeros({size, size});
  for (int64_t i = 0; i < size; ++i) matrix.data<float>()[i * size + i] = 1;
  return matrix;
}

std::unique_ptr<Model> open_tower(const ModelFolder& folder, bool texts) {
  const Family& family = find_family(folder);
  auto model = family.load(folder, Weights(folder.checkpoint, {.rename = family.rename(folder)}));
  if (texts ? !model->has_text() : model->native_size()[0] == 0) {
    fail(ErrorCode::unsupported, "{}: {} has no {} tower", folder.path.string(), family.name,
         texts ? "text" : "image");
  }
  return model;
}

// Images of that shorter side, else as the tower has them.
Config whole_images(const ImageProcessor& tower, int64_t size) {
  return Config({{"image_processor_type", "CLIPImageProcessor"},
                 {"size", {{"shortest_edge", size}}},
                 {"resample", static_cast<int>(tower.filter)},
                 {"crop_size", {{"height", size}, {"width", size}}},
                 {"rescale_factor", tower.scale},
                 {"image_mean", tower.mean},
                 {"image_std", tower.std}},
                "the new model");
}

using Tensors = std::map<std::string, Tensor, std::less<>>;

Tensors new_projection_tensors(const ModelFolder& vision, const ModelFolder& text,
                               const ProjectionSizes& sizes, bool sigmoid, Rng& rng) {
  Tensors tensors;
  // arXiv 2103.00020, section 2.5; 2303.15343, section 3.2
  tensors["logit_scale"] = Tensor::full({}, std::log(sigmoid ? 10 : 1 / 0.07f));
  if (sigmoid) tensors["logit_bias"] = Tensor::full({}, -10);
  const int64_t widths[] = {open_tower(vision, false)->embedding_size(),
                            open_tower(text, true)->embedding_size()};
  for (const bool texts : {true, false}) {
    const int64_t width = widths[texts];
    const std::string name = texts ? "text_projection" : "visual_projection";
    tensors[name + ".weight"] =
        texts && width == sizes.width ? unit_matrix(width) : random_matrix(sizes.width, width, rng);
    if (sizes.hidden > 0) {
      tensors[name + ".fc1.weight"] = random_matrix(sizes.hidden, width, rng);
      tensors[name + ".fc1.bias"] = Tensor::zeros({sizes.hidden});
      tensors[name + ".fc2.weight"] = random_matrix(sizes.width, sizes.hidden, rng, kGain);
    }
    if (sizes.ridge_weight > 0) {
      tensors[name + ".ridge.weight"] = Tensor::zeros({widths[true], width});
      tensors[name + ".ridge.bias"] = Tensor::zeros({widths[true]});
    }
  }
  return tensors;
}

void add_tower(Tensors& tensors, const std::string& prefix, const ModelFolder& tower) {
  const std::string base = fmt::format("{}.", tower.type());
  for (const TensorInfo& info : tower.checkpoint->tensors()) {
    const bool below = info.name.starts_with(base);
    tensors[prefix + (below ? info.name.substr(base.size()) : info.name)] =
        tower.checkpoint->load(info.name);
  }
}

}  // namespace

ModelFolder new_dual_encoder(const ModelFolder& vision, const ModelFolder& text,
                             const ProjectionSizes& sizes, bool sigmoid, uint64_t seed) {
  check(sizes.image_size == 0 && sizes.ridge_weight == 0,
        "projections.image_size and projections.ridge are for two towers that stay as they are");
  Rng rng(seed);
  Tensors tensors = new_projection_tensors(vision, text, sizes, sigmoid, rng);
  add_tower(tensors, kVision, vision);
  add_tower(tensors, kText, text);
  const std::string pooler = fmt::format("{}pooler.dense.", kVision);
  if (vision.type() == "vit" && !tensors.contains(pooler + "weight")) {
    const auto width = vision.config.require<int64_t>("hidden_size");
    const auto deviation = vision.config.get<float>("initializer_range", 0.02f);
    tensors[pooler + "weight"] = random_normal({width, width}, deviation, rng);
    tensors[pooler + "bias"] = Tensor::zeros({width});
  }
  ModelFolder folder;
  folder.path = text.path;
  folder.processor = vision.processor;
  folder.config = Config({{"model_type", kType},
                          {"architectures", {"VisionTextDualEncoderModel"}},
                          {"projection_dim", sizes.width},
                          {kVisionConfig, vision.config.json()},
                          {kTextConfig, text.config.json()}},
                         "the new model");
  folder.checkpoint = folder.stored =
      std::make_shared<MemorySource>(std::move(tensors), "the new model");
  return folder;
}

ModelFolder new_projections(ModelFolder vision, ModelFolder text, const ProjectionSizes& sizes,
                            bool sigmoid, uint64_t seed) {
  Rng rng(seed);
  ModelFolder folder;
  folder.checkpoint = std::make_shared<MemorySource>(
      new_projection_tensors(vision, text, sizes, sigmoid, rng), "the new projections");
  if (sizes.image_size > 0) {
    folder.processor = whole_images(open_tower(vision, false)->image_processor(), sizes.image_size);
  }
  nlohmann::json config = {{"model_type", kType}, {"projection_dim", sizes.width}};
  if (sizes.ridge_weight > 0) config["ridge_weight"] = sizes.ridge_weight;
  for (const auto& [field, prefix] : kTowerFolders) {
    ModelFolder& tower = std::string_view(prefix) == kText ? text : vision;
    config[field] = std::filesystem::absolute(tower.path).lexically_normal().string();
    folder.towers[prefix] = std::make_shared<ModelFolder>(std::move(tower));
  }
  folder.config = Config(std::move(config), "the new model");
  join_towers(folder);
  return folder;
}

const Family kDualEncoderFamily = {
    "vision-text-dual-encoder",
    "VisionTextDualEncoderModel of the families here; projections over two model folders", matches,
    rename, load};

}  // namespace ocelli
