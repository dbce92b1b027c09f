// Normalisation over the last dimension; f32. weight and bias may be undefined.
#pragma once

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// y = (x - mean) / sqrt(var + eps) * weight + bias. Ba et al., arXiv 1607.06450.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps);

// y = x / sqrt(mean(x^2) + eps) * weight. Zhang and Sennrich, arXiv 1910.07467.
Tensor rms_norm(const Tensor& x, const Tensor& weight, float eps);

// x [B, ..., C]: each group of C / groups channels over all positions. Wu and He, arXiv 1803.08494.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  float eps);

// In training: y = (x - mean) / sqrt(var + eps) * weight + bias with mean and variance of each
// channel of x [..., C] over everything else. running_mean and running_var, in place, go a
// `momentum` of the way towards them, the variance as that of a sample. Throws invalid_argument for
// one value a channel. Ioffe and Szegedy, arXiv 1502.03167; torch.nn.functional.batch_norm.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, float momentum, float eps);

// x / max(|x|, eps) along the last dimension. torch.nn.functional.normalize.
Tensor normalize(const Tensor& x, float eps = 1e-12f);

}  // namespace ocelli
