#include "ocelli/engine/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/engine/prompts.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"

namespace ocelli {
namespace {

// [classes, D]: the embeddings of all templates of a label, averaged and scaled to length 1.
Tensor class_embeddings(const OpenModel& opened, const std::vector<std::string>& labels,
                        const std::vector<std::string>& templates, const Progress& progress) {
  const int64_t count = static_cast<int64_t>(templates.size()),
                width = opened.model->embedding_size();
  Tensor sums = Tensor::zeros({static_cast<int64_t>(labels.size()), width});
  TextRun run;
  run.count = count * static_cast<int64_t>(labels.size());
  run.text = [&](int64_t i) { return fill_template(templates[i % count], labels[i / count]); };
  run.progress = progress;
  embed_texts(opened, run, [&](int64_t i, const Tensor& row) {
    float* sum = sums.data<float>() + i / count * width;
    const float* values = row.data<float>();
    for (int64_t d = 0; d < width; ++d) sum[d] += values[d];
  });
  return normalize(sums);
}

}  // namespace

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
  if (!opened_->model->has_text()) {
    fail(ErrorCode::unsupported,
         "{}: --labels needs a model with a text tower (CLIP, SigLIP); this is {}", opened_->name,
         opened_->family->name);
  }
  classes_ = LinearWeight(class_embeddings(*opened_, labels_, templates, progress), {});
  classes_.pack();
}

Tensor Classifier::operator()(const Tensor& pixels) const {
  if (!zero_shot_) return softmax(opened_->model->classify(pixels));
  const Similarity similarity = opened_->model->similarity();
  const Tensor cosine = linear(normalize(opened_->model->embed_image(pixels)), classes_);
  const Tensor logits = cosine * similarity.scale + similarity.bias;
  return similarity.sigmoid ? sigmoid(logits) : softmax(logits);
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
