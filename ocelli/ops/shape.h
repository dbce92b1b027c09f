// Movement of data: what cannot be a view. Views themselves are Tensor's methods.
#pragma once

#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// A compact copy. torch.clone(memory_format=torch.contiguous_format).
Tensor clone(const Tensor& x);
// A view where the strides allow it, else a copy. One size may be -1 (inferred).
Tensor reshape(const Tensor& x, std::initializer_list<int64_t> shape);
// Joins along `dim`; equal shapes elsewhere, equal dtypes.
Tensor cat(const std::vector<Tensor>& tensors, int dim);
// Rows of table [V, ...] at indices (any shape, i32): [indices..., ...].
// torch.nn.functional.embedding.
Tensor embedding(const Tensor& indices, const Tensor& table);
// One row a batch entry: x [B, N, C], indices [B] i32 -> [B, C].
Tensor gather_rows(const Tensor& x, const Tensor& indices);
// x [B, ...] with alpha * y [indices, ...] added to the rows at indices [n] i32.
// torch.Tensor.index_add(dim=0).
Tensor index_add(const Tensor& x, const Tensor& indices, const Tensor& y, float alpha = 1);
// Non-overlapping patches of [B, H, W, C] as rows: [B, (H/ph) * (W/pw), ph * pw * C]. What hangs
// over at the bottom and right is dropped, as a strided convolution drops it.
Tensor patchify(const Tensor& x, int64_t patch_height, int64_t patch_width);

}  // namespace ocelli
