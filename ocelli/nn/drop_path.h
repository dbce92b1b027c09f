// Stochastic depth: while a model learns, each residual branch of a block is computed for a random
// part of the images alone. Huang et al., arXiv 1603.09382; a part of the batch instead of a mask
// over it is DINOv2's (arXiv 2304.07193, section 5).
#pragma once

#include "ocelli/base/rng.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

// For the blocks that are called from this thread, under a Tape, while one lives. What is dropped
// is a function of the generator and of the order of the calls.
class DropPath {
 public:
  DropPath(double rate, Rng rng);  // rate in [0, 1)
  ~DropPath();
  DropPath(const DropPath&) = delete;
  DropPath& operator=(const DropPath&) = delete;

  // The one at work here, or null.
  static DropPath* current();
  bool was_used() const { return used_; }

  // x [B, ...] + B / n branch(n of the images of x), n = max(1, floor(B (1 - rate))).
  template <typename Branch>
  Tensor add(const Tensor& x, const Branch& branch) {
    const Tensor kept = draw(x.size(0));
    return add(x, kept, branch(rows(x, kept)));
  }

 private:
  Tensor draw(int64_t batch);  // i32 [n], sorted
  static Tensor rows(const Tensor& x, const Tensor& kept);
  static Tensor add(const Tensor& x, const Tensor& kept, const Tensor& branch);

  double rate_;
  Rng rng_;
  bool used_ = false;
  DropPath* outer_;
};

}  // namespace ocelli
