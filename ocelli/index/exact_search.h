// Exact search: the k rows with the largest inner product. Queries come in blocks against blocks of
// rows, by the packed matrix product when there are many, so memory stays bounded.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/index/rows.h"

namespace ocelli {

// The k best of the scores shown to it; NaN is never among them. Of equal scores those that were
// shown first stay.
class TopK {
 public:
  explicit TopK(int64_t k) : k_(k) {}

  // Scores of rows ids[0], ids[1], ...
  void add(std::span<const float> scores, const RowId* ids);
  void add(const Hit& hit);
  // Sorted, best first; may be fewer than k.
  std::vector<Hit> take();

 private:
  void shrink();

  int64_t k_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Hit> hits_;  // at most 2 k, the k best among them
};

// For each query of `queries` [Q, width] f32 its k best rows, best first. With `among` only those
// rows (sorted) are looked at, so k answers are k answers where there are as many.
std::vector<std::vector<Hit>> search_exact(
    const Tensor& queries, const HalfRows& rows, int64_t k,
    const std::optional<std::vector<RowId>>& among = std::nullopt);

namespace detail {

// scores [Q, n] of queries [Q, width] (f32, rows one after the other) with n rows, on the calling
// thread. A product prepares the rows once for many queries.
class RowBlock {
 public:
  RowBlock(const HalfRows& rows, std::span<const RowId> ids);
  void scores(const float* queries, int64_t count, float* into) const;
  int64_t size() const { return count_; }

 private:
  std::shared_ptr<const void> packed_;
  int64_t count_, width_;
};

// Rows `ids` as f32, one after the other.
void gather(const HalfRows& rows, std::span<const RowId> ids, float* into);

}  // namespace detail

}  // namespace ocelli
