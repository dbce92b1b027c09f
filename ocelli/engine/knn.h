// Classification by the k nearest labelled images, DINOv2's protocol for features that were never
// trained on the labels. Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
// Discrimination" (arXiv 1805.01978), section 3.4; dinov2/eval/knn.py.
#pragma once

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"

namespace ocelli {

struct KnnOptions {
  int64_t k = 20;
  double temperature = 0.07;
  RunOptions train = {}, test = {};
};

// The best `top` classes, best first: votes exp(<query, row> / temperature) of the k nearest rows,
// summed by class. `scores` [N] are the <query, row>; of equal votes the lower class comes first.
std::vector<int64_t> knn_classify(const Tensor& scores, const std::vector<int64_t>& class_of,
                                  const KnnOptions& options, int64_t top);

// How many queries have their true class first, and among the first five.
struct KnnCount {
  int64_t top1 = 0, top5 = 0;
};

// knn_classify of queries [M, C] by rows [N, C].
KnnCount count_knn(const Tensor& rows, const std::vector<int64_t>& class_of, const Tensor& queries,
                   const std::vector<int64_t>& truth, const KnnOptions& options = {});

// The classes of images that were embedded.
std::vector<int64_t> classes_of(const ImageEmbeddings& images, const ClassImages& data);

struct KnnResult {
  int64_t train = 0, count = 0, classes = 0;  // images that vote, images that were classified
  int64_t top1 = 0, top5 = 0;
  std::vector<ItemError> errors;
};

// Throws invalid_argument for a class of `test` that `train` lacks.
KnnResult knn_evaluate(const OpenModel& opened, const ClassImages& train, const ClassImages& test,
                       const KnnOptions& options);

}  // namespace ocelli
