// softmax(scale * q k^T + bias + mask) v, tiled: the score matrix is never in memory whole.
// torch.nn.functional.scaled_dot_product_attention, with heads beside channels.
#pragma once

#include <functional>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct AttentionOptions {
  float scale = 0;       // 0: 1 / sqrt(D)
  bool causal = false;   // query i sees keys 0 .. i + Nk - Nq
  Tensor key_mask = {};  // [B, Nk] u8; 0 hides a key
  Tensor bias = {};      // [B or 1, H or 1, Nq, Nk]
};

// q [B, Nq, H, D], k [B, Nk, H, D], v [B, Nk, H, Dv] -> [B, Nq, H, Dv]; any strides; all f32, or
// all bf16 as inner results of linear() are. A query that sees no key gives zeros.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options = {});

// softmax(scale * q k^T + bias + mask) [B, H, Nq, Nk], in memory whole: to look at, not to compute
// with. f32; rows that see no key are zero.
Tensor attention_weights(const Tensor& q, const Tensor& k, const AttentionOptions& options = {});

// While one lives, attention() called from this thread shows it what it is called with, numbered
// from 0. What is not asked for costs nothing: an observer takes the weights of the calls it wants.
class AttentionObserver {
 public:
  using Observe = std::function<void(int64_t call, const Tensor& q, const Tensor& k,
                                     const AttentionOptions& options)>;

  explicit AttentionObserver(Observe observe);
  ~AttentionObserver();
  AttentionObserver(const AttentionObserver&) = delete;
  AttentionObserver& operator=(const AttentionObserver&) = delete;

  static bool is_watching();  // this thread

 private:
  friend Tensor attention(const Tensor&, const Tensor&, const Tensor&, const AttentionOptions&);
  Observe observe_;
  int64_t calls_ = 0;
  AttentionObserver* outer_;
};

}  // namespace ocelli
