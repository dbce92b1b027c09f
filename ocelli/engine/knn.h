// Images classified by the k nearest labelled ones (train/neighbours.h).
#pragma once

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"
#include "ocelli/train/neighbours.h"

namespace ocelli {

// The classes of images that were embedded.
std::vector<int64_t> classes_of(const ImageEmbeddings& images, const ClassImages& data);

struct KnnResult {
  int64_t train = 0, count = 0, classes = 0;  // images that vote, images that were classified
  int64_t top1 = 0, top5 = 0;
  std::vector<ItemError> errors;
};

// Throws invalid_argument for a class of `test` that `train` lacks.
KnnResult knn_evaluate(const OpenModel& opened, const ClassImages& train, const ClassImages& test,
                       const KnnOptions& options, const RunOptions& train_run,
                       const RunOptions& test_run);

}  // namespace ocelli
