#include "ocelli/ops/flops.h"

namespace ocelli {
namespace {
thread_local FlopCounter* counter = nullptr;
}

FlopCounter::FlopCounter() : outer_(counter) {
  counter = this;
}
FlopCounter::~FlopCounter() {
  counter = outer_;
  count_flops(total_);
}

void count_flops(int64_t flops) {
  if (counter) counter->total_ += flops;
}

}  // namespace ocelli
