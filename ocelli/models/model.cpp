#include "ocelli/models/model.h"

namespace ocelli {

Tensor Model::classify(const Tensor&) const {
  fail(ErrorCode::unsupported, "this model has no classifier; give --labels if it has a text tower");
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
Similarity Model::similarity() const {
  fail(ErrorCode::unsupported, "this model has no text tower");
}
std::vector<Tensor> Model::features(const Tensor&, const std::vector<int>&) const {
  fail(ErrorCode::unsupported, "this model gives no features of single layers");
}

}  // namespace ocelli
