#include "ocelli/nn/init.h"

namespace ocelli {

Tensor random_normal(const Shape& shape, float deviation, Rng& rng) {
  const Tensor tensor = Tensor::empty(shape);
  for (float& x : tensor.values<float>()) x = deviation * rng.normal();
  return tensor;
}

}  // namespace ocelli
