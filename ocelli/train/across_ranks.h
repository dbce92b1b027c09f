// What a loss needs of the parts of a batch that other ranks have. One process alone has them all.
#pragma once

#include <string>
#include <utility>
#include <vector>

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
// The part of `count` things in a row, from the first to before the second, that is this rank's.
std::pair<int64_t, int64_t> share_of(const Ranks& ranks, int64_t count);
// Any bytes of each rank, in their order.
std::vector<std::string> gather(const Ranks& ranks, const std::string& mine);
// The rows [n, D] of f32 that each rank has, any number of them or none, as one table in the order
// of the ranks. Without a gradient. Throws invalid_argument where no rank has one.
Tensor gather_rows(const Ranks& ranks, const std::vector<Tensor>& mine);

}  // namespace ocelli
