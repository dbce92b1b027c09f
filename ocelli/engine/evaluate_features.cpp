#include "ocelli/engine/evaluate_features.h"

#include "ocelli/engine/knn.h"
#include "ocelli/engine/logistic_regression.h"
#include "ocelli/engine/retrieval.h"

namespace ocelli {

FeatureEvaluation evaluate_features(const OpenModel& opened, const ClassImages& train,
                                    const ClassImages& test, const RunOptions& train_run,
                                    const RunOptions& test_run) {
  const std::vector<int64_t> matched = match_classes(test, train.classes);
  ImageEmbeddings known = embed_images(opened, train.paths, train_run);
  ImageEmbeddings asked = embed_images(opened, test.paths, test_run);
  const std::vector<int64_t> labels = classes_of(known, train);
  std::vector<int64_t> truth = classes_of(asked, test);
  for (int64_t& label : truth) label = matched[label];
  FeatureEvaluation result;
  result.errors = std::move(known.errors);
  result.errors.insert(result.errors.end(), asked.errors.begin(), asked.errors.end());
  result.train = std::ssize(labels);
  result.count = std::ssize(truth);
  result.classes = std::ssize(train.classes);
  const auto planes = fit_best_logistic_regression(known.rows, labels, result.classes);
  result.linear_top1 = count_right(predict(planes, asked.rows), truth);
  result.knn_top1 = count_knn(known.rows, labels, asked.rows, truth).top1;
  result.mean_average_precision = mean_average_precision(asked.rows, truth);
  return result;
}

}  // namespace ocelli
