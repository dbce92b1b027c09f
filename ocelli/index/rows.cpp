#include "ocelli/index/rows.h"

#include <algorithm>

#include "ocelli/tensor/convert.h"

namespace ocelli {

HalfMatrix::HalfMatrix(const Tensor& rows) : count_(rows.size(0)), width_(rows.size(1)) {
  const Tensor halves = to(rows, DType::f16);
  values_.assign(halves.data<Half>(), halves.data<Half>() + halves.numel());
}

HalfMatrix::HalfMatrix(const HalfRows& rows, std::span<const RowId> ids)
    : count_(static_cast<int64_t>(ids.size())), width_(rows.width) {
  values_.reserve(count_ * width_);
  for (const RowId id : ids) {
    values_.insert(values_.end(), rows.row(id), rows.row(id) + width_);
  }
}

}  // namespace ocelli
