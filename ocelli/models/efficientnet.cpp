#include "ocelli/models/efficientnet.h"

#include <map>

#include "ocelli/nn/layers.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/pool.h"
#include "ocelli/ops/shape.h"

namespace ocelli {
namespace {

// Channels, kernels and depths are read from the tensors; this is what they cannot tell.
struct EfficientNetConfig {
  Unary activation = Unary::silu;
  bool same_padding = true;  // TensorFlow's, of the ported weights (tf_*)
  float eps = 1e-3f;
  std::vector<int64_t> strides;  // of the first block of each stage

  static EfficientNetConfig from_name(const std::string& architecture, int64_t stages) {
    EfficientNetConfig c;
    const bool ported = architecture.empty() || architecture.starts_with("tf_");
    c.same_padding = ported;
    c.eps = ported ? 1e-3f : 1e-5f;
    if (architecture.find("lite") != std::string::npos) c.activation = Unary::relu6;
    // Seven stages everywhere but in V2-S, which lacks the last.
    c.strides = {1, 2, 2, 2, 1, 2, 1};
    check(stages >= 1 && stages <= 7, "efficientnet: {} stages", stages);
    c.strides.resize(static_cast<size_t>(stages));
    return c;
  }
};

struct ConvNormAct {
  Conv2d conv;
  Activation activation;
  bool same;

  ConvNormAct() = default;
  ConvNormAct(const Weights& conv_weights, const Weights& norm, int64_t stride, bool depthwise,
              Activation act, const EfficientNetConfig& c)
      : activation(act), same(c.same_padding) {
    const Shape shape = conv_weights.get("weight").shape();
    Conv2dOptions options{.stride = {stride, stride}, .groups = depthwise ? shape[0] : 1};
    if (!same) {
      const int64_t h = (shape[2] - 1) / 2, w = (shape[3] - 1) / 2;
      options.padding = {h, w, h, w};
    }
    conv = Conv2d(conv_weights, shape, options, BatchNorm(norm, shape[0], c.eps));
  }

  std::array<int64_t, 4> padding(const Tensor& x) const {
    return same ? ocelli::same_padding(x.size(1), x.size(2), conv.weight)
                : conv.weight.options().padding;
  }

  Tensor operator()(const Tensor& x, Tensor residual = {}) const {
    return conv(x, padding(x), {.activation = activation, .residual = std::move(residual)});
  }
};

// x * sigmoid(expand(act(reduce(mean(x))))). Hu et al., arXiv 1709.01507.
struct SqueezeExcite {
  Conv2d conv_reduce, conv_expand;

  explicit SqueezeExcite(const Weights& w)
      : conv_reduce(w / "conv_reduce", w.get("conv_reduce.weight").shape(), {}),
        conv_expand(w / "conv_expand", w.get("conv_expand.weight").shape(), {}) {}

  Tensor operator()(const Tensor& x) const {
    const Tensor squeezed = reshape(global_avg_pool(x), {x.size(0), 1, 1, x.size(3)});
    return x * conv_expand(conv_reduce(squeezed, {.activation = Unary::silu}),
                           {.activation = Unary::sigmoid});
  }
};

// A block of any of the four kinds, told apart by its tensors:
//   conv                                  ConvBnAct
//   conv_exp, conv_pwl                    EdgeResidual (fused)
//   conv_dw, [se], conv_pw                DepthwiseSeparable
//   conv_pw, conv_dw, [se], conv_pwl      InvertedResidual
struct Block {
  std::optional<ConvNormAct> expand;  // 1 x 1, before a depthwise `conv`
  ConvNormAct conv;
  bool depthwise = false;
  std::optional<SqueezeExcite> se;
  std::optional<ConvNormAct> project;  // without activation
  bool skip = false;

  Block(const Weights& w, int64_t stride, const EfficientNetConfig& c) {
    const auto layer = [&](const char* name, const char* norm, int64_t s, Activation act) {
      return ConvNormAct(w / name, w / norm, s, std::string_view(name) == "conv_dw", act, c);
    };
    depthwise = w.has("conv_dw.weight");
    if (w.has("conv.weight")) {
      conv = layer("conv", "bn1", stride, c.activation);
    } else if (w.has("conv_exp.weight")) {
      conv = layer("conv_exp", "bn1", stride, c.activation);
      project = layer("conv_pwl", "bn2", 1, {});
    } else if (w.has("conv_pwl.weight")) {
      expand = layer("conv_pw", "bn1", 1, c.activation);
      conv = layer("conv_dw", "bn2", stride, c.activation);
      project = layer("conv_pwl", "bn3", 1, {});
    } else {
      conv = layer("conv_dw", "bn1", stride, c.activation);
      project = layer("conv_pw", "bn2", 1, {});
    }
    if (w.has("se.conv_reduce.weight")) se.emplace(w / "se");
    const Shape &first = (expand ? *expand : conv).conv.weight.shape(),
                &last = (project ? *project : conv).conv.weight.shape();
    skip = stride == 1 && (depthwise && !expand ? first[0] : first[1]) == last[0];
  }

  Tensor operator()(const Tensor& x) const {
    const Tensor residual = skip ? x : Tensor();
    if (!depthwise || conv.conv.norm) {
      const Tensor wide = expand ? (*expand)(x) : x;
      if (!project) return conv(wide, residual);
      const Tensor filtered = conv(wide);
      return (*project)(se ? (*se)(filtered) : filtered, residual);
    }
    InvertedResidual block{
        .depthwise = &conv.conv.weight, .padding = conv.padding(x), .activation = conv.activation};
    if (expand) block.expand = &expand->conv.weight;
    if (se) return (*project)((*se)(inverted_residual(x, block)), residual);
    block.project = &project->conv.weight;
    block.residual = residual;
    return inverted_residual(x, block);
  }
};

class EfficientNet final : public Model {
 public:
  EfficientNet(const Weights& w, const EfficientNetConfig& c, ImageProcessor processor,
               std::vector<std::string> labels)
      : stem_(w / "conv_stem", w / "bn1", 2, false, c.activation, c),
        head_(w / "conv_head", w / "bn2", 1, false, c.activation, c),
        processor_(processor),
        labels_(std::move(labels)) {
    for (size_t s = 0; s < c.strides.size(); ++s) {
      const Weights stage = w / "blocks" / static_cast<int64_t>(s);
      std::vector<Block> blocks;
      for (int64_t i = 0; (stage / i).exists(); ++i)
        blocks.emplace_back(stage / i, i == 0 ? c.strides[s] : 1, c);
      stages_.push_back(std::move(blocks));
    }
    width_ = head_.conv.weight.shape()[0];
    if (const auto shape = w.shape_of("classifier.weight"))
      classifier_ = Linear(w / "classifier", width_, (*shape)[0]);
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override { return processor_.output_size(); }
  int64_t embedding_size() const override { return width_; }
  int64_t depth() const override { return static_cast<int64_t>(stages_.size()); }
  bool has_classifier() const override { return classifier_.weight.out_features() > 0; }
  const std::vector<std::string>& labels() const override { return labels_; }

  Tensor embed_image(const Tensor& pixels) const override {
    LayerTap none;
    return global_avg_pool(head_(stages(pixels, none)));
  }

  Tensor classify(const Tensor& pixels) const override {
    return has_classifier() ? classifier_(embed_image(pixels)) : Model::classify(pixels);
  }

  // Maps [B, H, W, C] after each stage.
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    refuse_mask(request);
    LayerTap tap(request.layers, depth());
    stages(pixels, tap);
    return tap.take();
  }

 private:
  Tensor stages(const Tensor& pixels, LayerTap& tap) const {
    Tensor x = stem_(pixels);
    for (size_t i = 0; i < stages_.size(); ++i) {
      for (const Block& block : stages_[i]) x = block(x);
      tap(static_cast<int64_t>(i), x);
    }
    return x;
  }

  ConvNormAct stem_;
  std::vector<std::vector<Block>> stages_;
  ConvNormAct head_;
  Linear classifier_;
  int64_t width_ = 0;
  ImageProcessor processor_;
  std::vector<std::string> labels_;
};

// Names of lukemelas/EfficientNet-PyTorch, whose blocks are numbered through; a stage ends where
// the number of channels changes.
Weights::Rename from_numbered(const ModelFolder& folder) {
  std::map<int64_t, int64_t> channels;  // of block n
  std::map<int64_t, bool> expands;
  for (const TensorInfo& t : folder.checkpoint->tensors()) {
    if (!t.name.starts_with("_blocks.")) continue;
    const int64_t n = std::strtoll(t.name.c_str() + 8, nullptr, 10);
    if (t.name.ends_with("_project_conv.weight") && t.shape.rank() == 4) channels[n] = t.shape[0];
    if (t.name.ends_with("_expand_conv.weight")) expands[n] = true;
  }
  std::map<std::string, std::string> place;  // "12" -> "blocks.4.1"
  int64_t stage = -1, index = 0, previous = -1;
  for (const auto& [n, c] : channels) {
    if (c != previous) ++stage, index = 0;
    place[std::to_string(n)] = fmt::format("blocks.{}.{}", stage, index++);
    previous = c;
  }
  return [place, expands](const std::string& name) -> std::string {
    static const std::map<std::string, std::string> kOuter = {{"_conv_stem", "conv_stem"},
                                                              {"_bn0", "bn1"},
                                                              {"_conv_head", "conv_head"},
                                                              {"_bn1", "bn2"},
                                                              {"_fc", "classifier"}};
    static const std::map<std::string, std::string> kWide = {
        {"_expand_conv", "conv_pw"},      {"_bn0", "bn1"},
        {"_depthwise_conv", "conv_dw"},   {"_bn1", "bn2"},
        {"_se_reduce", "se.conv_reduce"}, {"_se_expand", "se.conv_expand"},
        {"_project_conv", "conv_pwl"},    {"_bn2", "bn3"}};
    static const std::map<std::string, std::string> kPlain = {
        {"_depthwise_conv", "conv_dw"},   {"_bn1", "bn1"},
        {"_se_reduce", "se.conv_reduce"}, {"_se_expand", "se.conv_expand"},
        {"_project_conv", "conv_pw"},     {"_bn2", "bn2"}};
    std::string rest = name, prefix;
    const auto* table = &kOuter;
    if (name.starts_with("_blocks.")) {
      const size_t dot = name.find('.', 8);
      const std::string number = name.substr(8, dot - 8);
      if (dot == std::string::npos || !place.contains(number)) return name;
      prefix = place.at(number) + ".";
      table = expands.contains(std::strtoll(number.c_str(), nullptr, 10)) ? &kWide : &kPlain;
      rest = name.substr(dot + 1);
    }
    const size_t dot = rest.find('.');
    const auto entry = table->find(rest.substr(0, dot));
    if (dot == std::string::npos || entry == table->end()) return name;
    return prefix + entry->second + rest.substr(dot);
  };
}

bool is_numbered(const ModelFolder& folder) {
  return folder.has_tensor("_conv_stem.weight");
}

bool matches(const ModelFolder& folder) {
  const std::string type = folder.type();
  if (!type.empty() && type.find("efficientnet") == std::string::npos) return false;
  if (folder.config.has("model_type")) return false;
  return is_numbered(folder) ||
         (folder.has_tensor("conv_stem.weight") && folder.has_tensor("conv_head.weight"));
}

Weights::Rename rename(const ModelFolder& folder) {
  if (is_numbered(folder)) return from_numbered(folder);
  return {};
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  std::string architecture = folder.type();
  const int64_t stages = w.count("blocks");
  if (stages == 0)
    fail(ErrorCode::corrupt_data, "{}: has the stem of an EfficientNet but no blocks", w.path());
  // Lite is the one without squeeze-excite and without fused blocks.
  if (architecture.empty() && !w.has("blocks.1.0.se.conv_reduce.weight") &&
      w.has("blocks.1.0.conv_dw.weight")) {
    architecture = "tf_efficientnet_lite0";
  }
  nlohmann::json preprocessing = {{"input_size", {3, 224, 224}},
                                  {"crop_pct", 0.875},
                                  {"mean", {0.5, 0.5, 0.5}},
                                  {"std", {0.5, 0.5, 0.5}}};
  const Config timm = folder.config.at("pretrained_cfg");
  return std::make_unique<EfficientNet>(
      w, EfficientNetConfig::from_name(architecture, stages),
      ImageProcessor::from_timm(timm ? timm.json() : preprocessing, timm.place()),
      read_labels(folder));
}

}  // namespace

const Family kEfficientNetFamily = {
    "efficientnet", "timm (tf_)efficientnet_b0-b7, lite0-4, v2 s/m/l", matches, rename, load};

}  // namespace ocelli
