// Pooling of [B, H, W, C] feature maps; PyTorch's sizes and rules.
#pragma once

#include "ocelli/backend/backend.h"

namespace ocelli {

struct PoolOptions {
  std::array<int64_t, 2> kernel = {2, 2};
  std::array<int64_t, 2> stride = {2, 2};
  std::array<int64_t, 2> padding = {0, 0};
  bool ceil_mode = false;
  bool count_include_pad = true;  // avg_pool2d only
};

Tensor max_pool2d(const Tensor& x, const PoolOptions& options);
Tensor avg_pool2d(const Tensor& x, const PoolOptions& options);
// Mean over all positions: [B, ..., C] -> [B, C].
Tensor global_avg_pool(const Tensor& x);

}  // namespace ocelli
