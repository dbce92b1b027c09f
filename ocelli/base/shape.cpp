#include "ocelli/base/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "ocelli/base/error.h"

namespace ocelli {

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  for (int64_t dim : dims) push_back(dim);
}

void Shape::push_back(int64_t dim) {
  check(rank_ < kMaxRank, "shape: more than {} dimensions", kMaxRank);
  check(dim >= 0, "shape: negative size {}", dim);
  dims_[rank_++] = dim;
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t dim : *this) {
    if (__builtin_mul_overflow(n, dim, &n)) {
      fail(ErrorCode::invalid_argument, "shape: {} has too many elements", str());
    }
  }
  return n;
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string Shape::str() const {
  return fmt::format("[{}]", fmt::join(begin(), end(), ", "));
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    // Only a shape without elements gets here with a product that does not fit; nothing is
    // addressed.
    if (__builtin_mul_overflow(stride, shape[i], &stride)) stride = 0;
  }
  return strides;
}

}  // namespace ocelli
