// Rows of half-precision vectors, one after the other: what everything in index/ reads. They lie in
// a mapped file (VectorStore) or in memory (HalfMatrix); a row's number is its place.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

using RowId = uint32_t;

struct HalfRows {
  const Half* data = nullptr;
  int64_t count = 0, width = 0;

  const Half* row(int64_t i) const { return data + i * width; }
  HalfRows slice(int64_t begin, int64_t end) const { return {row(begin), end - begin, width}; }
};

// Rows in memory, converted from f32 [N, D] (round to nearest even).
class HalfMatrix {
 public:
  HalfMatrix() = default;
  explicit HalfMatrix(const Tensor& rows);
  // Copies of some rows.
  HalfMatrix(const HalfRows& rows, std::span<const RowId> ids);
  operator HalfRows() const { return {values_.data(), count_, width_}; }

 private:
  std::vector<Half> values_;
  int64_t count_ = 0, width_ = 0;
};

// A row a score belongs to.
struct Hit {
  float score = 0;
  RowId row = 0;
};

// The order of all answers: the higher score first, of equal ones the lower row.
inline bool better(const Hit& a, const Hit& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

}  // namespace ocelli
