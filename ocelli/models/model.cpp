#include "ocelli/models/model.h"

namespace ocelli {

Tensor Model::classify(const Tensor&) const {
  fail(ErrorCode::unsupported,
       "this model has no classifier; give --labels if it has a text tower");
}
const std::vector<std::string>& Model::labels() const {
  static const std::vector<std::string> none;
  return none;
}
TextFormat Model::text_format() const {
  fail(ErrorCode::unsupported, "this model has no text tower");
}
Tensor Model::embed_text(const Tensor&, const Tensor&) const {
  fail(ErrorCode::unsupported, "this model has no text tower");
}
Tensor Model::embed_prompt(const Tensor&, const Tensor&, const Tensor&) const {
  fail(ErrorCode::unsupported, "this model's texts take no learnt context");
}
Similarity Model::similarity() const {
  fail(ErrorCode::unsupported, "this model has no text tower");
}
namespace {

[[noreturn]] void no_projections() {
  fail(ErrorCode::unsupported, "this model's projections do not run without its towers");
}

}  // namespace

Tensor Model::image_features(const Tensor&) const {
  no_projections();
}
Tensor Model::text_features(const Tensor&, const Tensor&) const {
  no_projections();
}
Tensor Model::project_image(const Tensor&) const {
  no_projections();
}
Tensor Model::project_text(const Tensor&) const {
  no_projections();
}
std::vector<Tensor> Model::features(const Tensor&, const FeatureRequest&) const {
  fail(ErrorCode::unsupported, "this model gives no features of single layers");
}
Tensor Model::embed_patches(const Tensor&) const {
  fail(ErrorCode::unsupported, "this model does not embed patches among texts");
}

void refuse_mask(const FeatureRequest& request) {
  if (request.mask.defined()) fail(ErrorCode::unsupported, "features: the model has no mask token");
}

LayerTap::LayerTap(const std::vector<int>& layers, int64_t depth) : kept_(layers.size()) {
  for (const int layer : layers) {
    layers_.push_back(layer < 0 ? layer + depth : layer);
    check(layers_.back() >= 0 && layers_.back() < depth,
          "features: layer {} of a model with {} blocks", layer, depth);
  }
}

void LayerTap::operator()(int64_t layer, const Tensor& x) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i] == layer) kept_[i] = x;
  }
}

}  // namespace ocelli
