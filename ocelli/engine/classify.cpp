#include "ocelli/engine/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"

namespace ocelli {

Classifier::Classifier(std::shared_ptr<const OpenModel> opened) : opened_(std::move(opened)) {
  if (!opened_->model->has_classifier()) {
    fail(ErrorCode::unsupported, "{}: the model has no classifier{}", opened_->name,
         opened_->model->has_text() ? "; give the classes as --labels" : "");
  }
  labels_ = opened_->model->labels();
}

Classifier::Classifier(const std::shared_ptr<const OpenModel>& opened,
                       const std::vector<std::string>& labels,
                       const std::vector<std::string>& templates, const Progress& progress)
    : Classifier(opened, {labels, embed_prompts(*opened, labels, templates, progress)}) {}

Classifier::Classifier(std::shared_ptr<const OpenModel> opened, ClassPrompts prompts)
    : opened_(std::move(opened)),
      labels_(std::move(prompts.labels)),
      classes_(std::move(prompts.texts), {}),
      cache_(std::move(prompts.cache)),
      zero_shot_(true) {
  classes_.pack();
}

Tensor Classifier::operator()(const Tensor& pixels) const {
  if (!zero_shot_) return softmax(opened_->model->classify(pixels));
  const Tensor images = normalize(opened_->model->embed_image(pixels));
  const Tensor cosine = linear(images, classes_);
  const Similarity similarity = opened_->model->similarity();
  return cache_ ? softmax(cache_logits(images, cosine * similarity.scale, *cache_))
                : probabilities(cosine, similarity);
}

std::vector<Prediction> top_k(const Tensor& row, const std::vector<std::string>& labels,
                              int64_t k) {
  const std::span<const float> values = row.values<float>();
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  k = std::min<int64_t>(k, static_cast<int64_t>(values.size()));
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
    return values[a] > values[b] || (values[a] == values[b] && a < b);
  });
  std::vector<Prediction> predictions;
  for (int64_t i = 0; i < k; ++i) {
    const int64_t index = order[i];
    predictions.push_back({index,
                           index < static_cast<int64_t>(labels.size())
                               ? labels[index]
                               : fmt::format("class {}", index),
                           values[index]});
  }
  return predictions;
}

}  // namespace ocelli
