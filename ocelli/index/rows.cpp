#include "ocelli/index/rows.h"

#include <algorithm>

#include "ocelli/tensor/convert.h"

namespace ocelli {

HalfMatrix::HalfMatrix(const Tensor& rows) : count_(rows.size(0)), width_(rows.size(1)) {
  const Tensor halves = to(rows, DType::f16);
  values_.assign(halves.data<Half>(), halves.data<Half>() + halves.numel());
}

}  // namespace ocelli
