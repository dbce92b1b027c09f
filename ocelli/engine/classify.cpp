#include "ocelli/engine/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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

Classifier::Classifier(std::shared_ptr<const OpenModel> opened, std::vector<std::string> labels,
                       const std::vector<std::string>& templates, const Progress& progress)
    : opened_(std::move(opened)), labels_(std::move(labels)), zero_shot_(true) {
  classes_ = LinearWeight(embed_prompts(*opened_, labels_, templates, progress), {});
  classes_.pack();
}

Tensor Classifier::operator()(const Tensor& pixels) const {
  if (!zero_shot_) return softmax(opened_->model->classify(pixels));
  const Tensor cosine = linear(normalize(opened_->model->embed_image(pixels)), classes_);
  return probabilities(cosine, opened_->model->similarity());
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
