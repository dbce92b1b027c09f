// Stochastic depth: while a model learns, each residual branch of a block is computed for a random
// part of the images alone. Huang et al., arXiv 1603.09382; a part of the batch instead of a mask
// over it is DINOv2's (arXiv 2304.07193, section 5).
#pragma once

#include <array>

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

  bool was_used() const { return used_; }

  // The images (i32 [n], sorted, n = max(1, floor(B (1 - rate)))) for which the branches of a block
  // are computed; undefined where none is at work here.
  static std::array<Tensor, 2> draw(int64_t batch);

  // x [B, ...] + B / n branch(the images `kept` of x).
  template <typename Branch>
  static Tensor add(const Tensor& x, const Tensor& kept, const Branch& branch) {
    return add_rows(x, kept, branch(rows(x, kept)));
  }

 private:
  Tensor draw_one(int64_t batch);
  static Tensor rows(const Tensor& x, const Tensor& kept);
  static Tensor add_rows(const Tensor& x, const Tensor& kept, const Tensor& branch);

  double rate_;
  Rng rng_;
  bool used_ = false;
  DropPath* outer_;
};

}  // namespace ocelli
