// Losses: one number, the mean over the rows of a batch. torch.nn.functional.
#pragma once

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// -mean_i sum_c t_ic log softmax(logits_i)_c for logits [B, C] and targets t: classes [B] i32 (one
// of them, or soft by label_smoothing: t = (1 - s) onehot + s / C), or soft ones [B, C] f32.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, float label_smoothing = 0);

// -sum_ij [t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))] / N for x [N, ...], targets of its
// shape. SigLIP's loss where t is the unit matrix. Zhai et al., arXiv 2303.15343.
Tensor sigmoid_cross_entropy(const Tensor& logits, const Tensor& targets);

// -mean_i log(|x_i - x_n(i) + eps| + eps) for two or more rows of length 1, x [B, C], where n(i) is
// the row besides i whose inner product with x_i is the largest: rows of small loss lie evenly.
// KoLeo, Sablayrolles et al., arXiv 1806.03198; eps as in torch.nn.PairwiseDistance.
Tensor koleo(const Tensor& x, float eps = 1e-8f);

}  // namespace ocelli
