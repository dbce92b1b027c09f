#include "ocelli/engine/evaluate_features.h"

#include <numeric>

#include "ocelli/engine/knn.h"
#include "ocelli/engine/linear_probe.h"
#include "ocelli/engine/retrieval.h"

namespace ocelli {
namespace {

constexpr int64_t kBlock = 256;  // queries whose similarities are held at once

int64_t count_knn(const Tensor& rows, const std::vector<int64_t>& labels, const Tensor& asked,
                  const std::vector<int64_t>& truth) {
  LinearWeight packed(rows, {});
  packed.pack();
  int64_t right = 0;
  for (int64_t begin = 0; begin < asked.size(0); begin += kBlock) {
    throw_if_cancelled();
    const int64_t end = std::min(asked.size(0), begin + kBlock);
    const Tensor scores = linear(asked.slice(0, begin, end), packed);
    for (int64_t i = begin; i < end; ++i) {
      right += knn_classify(scores.select(0, i - begin), labels, {}, 1)[0] ==
               truth[static_cast<size_t>(i)];
    }
  }
  return right;
}

int64_t count_linear(const Tensor& rows, const std::vector<int64_t>& labels, int64_t classes,
                     const Tensor& asked, const std::vector<int64_t>& truth) {
  const auto answers = predict(fit_linear_probe(rows, labels, classes), asked);
  return std::inner_product(answers.begin(), answers.end(), truth.begin(), int64_t{0}, std::plus{},
                            std::equal_to{});
}

}  // namespace

FeatureEvaluation evaluate_features(const OpenModel& opened, const ClassImages& train,
                                    const ClassImages& test, const RunOptions& train_run,
                                    const RunOptions& test_run) {
  const std::vector<int64_t> matched = match_classes(test, train.classes);
  ImageEmbeddings known = embed_images(opened, train.paths, train_run);
  ImageEmbeddings asked = embed_images(opened, test.paths, test_run);
  std::vector<int64_t> labels, truth;
  for (const int64_t image : known.images) labels.push_back(train.class_of[image]);
  for (const int64_t image : asked.images) truth.push_back(matched[test.class_of[image]]);
  FeatureEvaluation result;
  result.errors = std::move(known.errors);
  result.errors.insert(result.errors.end(), asked.errors.begin(), asked.errors.end());
  result.train = std::ssize(labels);
  result.count = std::ssize(truth);
  result.classes = std::ssize(train.classes);
  result.linear_top1 = count_linear(known.rows, labels, result.classes, asked.rows, truth);
  result.knn_top1 = count_knn(known.rows, labels, asked.rows, truth);
  result.mean_average_precision = mean_average_precision(asked.rows, truth);
  return result;
}

}  // namespace ocelli
