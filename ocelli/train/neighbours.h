// What embeddings, rows of length 1, are worth by their nearest others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// Votes of labelled images, DINOv2's protocol for features that were never trained on the labels.
// Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (arXiv
// 1805.01978), section 3.4; dinov2/eval/knn.py.
struct KnnOptions {
  int64_t k = 20;
  double temperature = 0.07;
};

// The best `top` classes, best first: votes exp(<query, row> / temperature) of the k nearest rows,
// summed by class. `scores` [N] are the <query, row>; of equal votes the lower class comes first.
std::vector<int64_t> knn_classify(std::span<const float> scores,
                                  const std::vector<int64_t>& class_of, const KnnOptions& options,
                                  int64_t top);

// How many queries have their true class first, and among the first five.
struct KnnCount {
  int64_t top1 = 0, top5 = 0;
};

// knn_classify of queries [M, C] by rows [N, C].
KnnCount count_knn(const Tensor& rows, const std::vector<int64_t>& class_of, const Tensor& queries,
                   const std::vector<int64_t>& truth, const KnnOptions& options = {});

// Of how many rows [N, C], two or more, the others vote for the class.
int64_t count_knn(const Tensor& rows, const std::vector<int64_t>& class_of);

// Recall at K of Hodosh et al., "Framing image description as a ranking task" (2013), as CLIP and
// SigLIP report it on Flickr and COCO: a query counts as answered when any of its own is among the
// K most similar.
struct Recall {
  double r1 = 0, r5 = 0, r10 = 0;
};

// queries [Q, D] and keys [K, D]; `own` has the keys that answer each query. Equal similarities
// rank by the order of the keys.
Recall recall(const Tensor& queries, const Tensor& keys,
              const std::vector<std::vector<int64_t>>& own);

// Mean average precision of images that look for others of their class among all: rows [N, D] with
// the class of each. A query's precision is averaged over the places at which its class is found;
// the query itself is left out, and so are queries without another of their class. 0 without any.
double mean_average_precision(const Tensor& rows, const std::vector<int64_t>& class_of);

}  // namespace ocelli
