// How much a model's embeddings know of classes that it was not asked about: by the nearest
// labelled images, by planes learnt on them, and by images that look for their like.
#pragma once

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"

namespace ocelli {

struct FeatureEvaluation {
  int64_t train = 0, count = 0, classes = 0;
  int64_t knn_top1 = 0;               // of `count`; knn_classify with its 20 neighbours
  int64_t linear_top1 = 0;            // of `count`; fit_best_logistic_regression
  double mean_average_precision = 0;  // among the test images
  std::vector<ItemError> errors;
};

// The classes of `test` are matched with those of `train` as match_classes() does. Images that fail
// are left out and returned.
FeatureEvaluation evaluate_features(const OpenModel& opened, const ClassImages& train,
                                    const ClassImages& test, const RunOptions& train_run,
                                    const RunOptions& test_run);

}  // namespace ocelli
