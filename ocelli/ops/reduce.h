// Reductions along one dimension, which disappears; f32.
#pragma once

#include "ocelli/backend/backend.h"

namespace ocelli {

Tensor softmax(const Tensor& x);  // over the last dimension
Tensor sum(const Tensor& x, int dim);
Tensor mean(const Tensor& x, int dim);
Tensor amax(const Tensor& x, int dim);
Tensor amin(const Tensor& x, int dim);
// Index of the first largest value along the last dimension, as i32; x is f32 or i32.
Tensor argmax(const Tensor& x);

}  // namespace ocelli
