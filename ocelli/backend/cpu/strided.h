// Walks over several views of one shape: dimensions that lie together in all of them are merged, so
// that the innermost run is as long as it can be.
#pragma once

#include <array>

#include "ocelli/base/threads.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli::backend {

template <size_t kViews>
struct Strided {
  Shape shape;                        // merged; at least one dimension
  std::array<Shape, kViews> strides;  // in elements

  Strided(const Shape& full, const std::array<const Shape*, kViews>& full_strides) {
    for (int d = 0; d < full.rank(); ++d) {
      if (full[d] == 1) continue;
      bool merges = shape.rank() > 0;
      for (size_t v = 0; v < kViews && merges; ++v) {
        merges = strides[v][-1] == (*full_strides[v])[d] * full[d];
      }
      if (merges)
        shape[-1] *= full[d];
      else
        shape.push_back(full[d]);
      for (size_t v = 0; v < kViews; ++v) {
        if (merges)
          strides[v][-1] = (*full_strides[v])[d];
        else
          push_stride(v, (*full_strides[v])[d]);
      }
    }
    if (shape.rank() == 0) {
      shape.push_back(1);
      for (size_t v = 0; v < kViews; ++v) strides[v].push_back(1);
    }
  }

  int64_t inner() const { return shape[-1]; }
  int64_t inner_stride(size_t view) const { return strides[view][-1]; }

  // Calls row(offsets) for every innermost run, in parallel; offsets in elements.
  template <typename Row>
  void for_each_row(const Row& row) const {
    const int64_t n = inner(), rows = n > 0 ? shape.numel() / n : 0;
    const int64_t grain = 32768 / std::max<int64_t>(n, 1) + 1;
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        std::array<int64_t, kViews> offsets{};
        int64_t rest = r;
        for (int d = shape.rank() - 2; d >= 0; --d) {
          const int64_t index = rest % shape[d];
          rest /= shape[d];
          for (size_t v = 0; v < kViews; ++v) offsets[v] += index * strides[v][d];
        }
        row(offsets);
      }
    });
  }

 private:
  void push_stride(size_t v, int64_t stride) {
    strides[v].push_back(0);  // Shape refuses negative sizes only on push
    strides[v][-1] = stride;
  }
};

}  // namespace ocelli::backend
