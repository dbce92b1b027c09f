// Activation checkpointing: what a function computes is not kept for its gradients but computed
// again when they are asked for, so that a deep model keeps the inputs of its blocks alone. Chen et
// al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174; torch.utils.checkpoint.
#pragma once

#include <functional>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// While one lives, recompute() on its thread does so.
class Recompute {
 public:
  explicit Recompute(bool enabled = true);
  ~Recompute();
  Recompute(const Recompute&) = delete;
  Recompute& operator=(const Recompute&) = delete;

  bool was_used() const { return used_; }

 private:
  friend bool recomputes();
  bool enabled_, used_ = false;
  Recompute* outer_;
};

bool recomputes();  // whether the next recompute() does

namespace detail {

Tensor recompute(const Tensor& x, std::function<Tensor(Tensor)> f);

}  // namespace detail

// f(x). `f` is kept until the gradients are known and must give the same result again.
template <typename F>
Tensor recompute(Tensor x, const F& f) {
  return recomputes() ? detail::recompute(x, f) : f(std::move(x));
}

}  // namespace ocelli
