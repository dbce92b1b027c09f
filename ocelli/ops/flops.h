// Counts the floating-point operations (2 a multiply-add) of linear, matmul, conv2d and attention
// called from this thread while a counter lives, as torch.utils.flop_counter does.
#pragma once

#include <cstdint>

namespace ocelli {

class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;
  int64_t total() const { return total_; }

 private:
  friend void count_flops(int64_t flops);
  int64_t total_ = 0;
  FlopCounter* outer_;
};

void count_flops(int64_t flops);

}  // namespace ocelli
