#include "ocelli/ops/flops.h"

namespace ocelli {
namespace {
thread_local FlopCounter* innermost = nullptr;
}

FlopCounter::FlopCounter() : outer_(innermost) {
  innermost = this;
}
FlopCounter::~FlopCounter() {
  innermost = outer_;
  count_flops(total_);
}

void count_flops(int64_t flops) {
  if (innermost) innermost->total_ += flops;
}

}  // namespace ocelli
