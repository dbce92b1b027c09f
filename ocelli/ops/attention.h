// softmax(scale * q k^T + bias + mask) v, tiled: the score matrix is never in memory whole.
// torch.nn.functional.scaled_dot_product_attention, with heads beside channels.
#pragma once

#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct AttentionOptions {
  float scale = 0;       // 0: 1 / sqrt(D)
  bool causal = false;   // query i sees keys 0 .. i + Nk - Nq
  Tensor key_mask = {};  // [B, Nk] u8; 0 hides a key
  Tensor bias = {};      // [B or 1, H or 1, Nq, Nk]
};

// q [B, Nq, H, D], k [B, Nk, H, D], v [B, Nk, H, Dv] -> [B, Nq, H, Dv]; any strides. A query that
// sees no key gives zeros.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options = {});

}  // namespace ocelli
