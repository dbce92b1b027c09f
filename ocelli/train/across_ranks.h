// What a loss needs of the parts of a batch that other ranks have. One process alone has them all.
#pragma once

#include "ocelli/base/ranks.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

// Over all ranks, as f32.
double sum_over(const Ranks& ranks, double value);
double mean_over(const Ranks& ranks, double value);
// Over all ranks, of f32, which has no gradient; `x` may be summed in place.
Tensor sum_over(const Ranks& ranks, const Tensor& x);
// Of the rows of all ranks: [K] of x [N, K], whose N may be 0. Without a gradient.
Tensor column_sums(const Ranks& ranks, const Tensor& x);
Tensor column_maxima(const Ranks& ranks, const Tensor& x);

// x [B, D] -> the rows of all ranks [ranks B, D], in their order. Each rank computes the loss of
// all rows; the mean of the ranks' gradients is its gradient when each rank's own rows count
// `ranks` times.
Tensor gather(const Ranks& ranks, const Tensor& x);

}  // namespace ocelli
