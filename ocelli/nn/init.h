// Weights to begin with.
#pragma once

#include "ocelli/base/rng.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

// Of a normal distribution about 0, drawn in order. torch.nn.init.normal_.
Tensor random_normal(const Shape& shape, float deviation, Rng& rng);

}  // namespace ocelli
