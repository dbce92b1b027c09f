// Classes of embeddings told apart by planes: multinomial logistic regression by L-BFGS, the linear
// probe of CLIP (Radford et al., arXiv 2103.00020, section 3.2) and of few-shot studies. As
// scikit-learn's LogisticRegression.
#pragma once

#include <span>
#include <vector>

#include "ocelli/ops/linear.h"

namespace ocelli {

struct LogisticRegression {
  Tensor weight, bias;  // [classes, D], [classes]: a row belongs to the class of the largest score
  double c = 1;
};

// `rows` [N, D] with the class of each, 0 to `classes` - 1. Minimises, over W and b,
// c * sum of cross_entropy(W x + b, class) + |W|^2 / 2. Throws invalid_argument when there are
// fewer than two rows or classes, and for a `c` of 0 or less.
LogisticRegression fit_logistic_regression(const Tensor& rows, const std::vector<int64_t>& class_of,
                                           int64_t classes, double c);

// With the `c` of `candidates` that learns most of a random fifth from the others (of equal ones
// the smallest); the first where there are too few rows to try.
LogisticRegression fit_best_logistic_regression(
    const Tensor& rows, const std::vector<int64_t>& class_of, int64_t classes, uint64_t seed = 0,
    const std::vector<double>& candidates = {1, 10, 100, 1000});

// The class of each row of [N, D].
std::vector<int64_t> predict(const LogisticRegression& planes, const Tensor& rows);
// How many of the classes are those that `truth` has there.
int64_t count_right(const std::vector<int64_t>& answers, const std::vector<int64_t>& truth);

// Rows [N, D] with the class of each.
struct LabelledRows {
  Tensor rows;
  std::vector<int64_t> class_of;

  LabelledRows at(std::span<const int64_t> which) const;
};

}  // namespace ocelli
