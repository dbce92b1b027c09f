// How well classes of embeddings are told apart by planes: ridge regression on targets of 1 for the
// own class and -1 for the others, solved exactly (Rifkin and Lippert, "Notes on Regularized Least
// Squares", MIT-CSAIL-TR-2007-025). As scikit-learn's RidgeClassifierCV.
#pragma once

#include <vector>

#include "ocelli/ops/linear.h"

namespace ocelli {

struct LinearProbe {
  LinearWeight planes;  // [classes, D]: a row belongs to the class of the largest
  double alpha = 0;     // the ridge that was chosen
};

// `rows` [N, D] with the class of each, 0 to `classes` - 1. For each alpha every row is predicted
// by the regression on all others; the mean squared error of that chooses. Throws invalid_argument
// when there are fewer than two rows or classes.
LinearProbe fit_linear_probe(const Tensor& rows, const std::vector<int64_t>& class_of,
                             int64_t classes,
                             const std::vector<double>& alphas = {0.01, 0.1, 1, 10});

// The class of each row of [N, D].
std::vector<int64_t> predict(const LinearProbe& probe, const Tensor& rows);

}  // namespace ocelli
