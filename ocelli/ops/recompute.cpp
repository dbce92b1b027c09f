#include "ocelli/ops/recompute.h"

#include "ocelli/ops/tape.h"

namespace ocelli {
namespace {

thread_local Recompute* at_work = nullptr;

}  // namespace

Recompute::Recompute(bool enabled) : enabled_(enabled), outer_(at_work) {
  at_work = this;
}
Recompute::~Recompute() {
  at_work = outer_;
}

bool recomputes() {
  if (!at_work || !at_work->enabled_ || !Tape::active()) return false;
  at_work->used_ = true;
  return true;
}

Tensor detail::recompute(const Tensor& x, std::function<Tensor(Tensor)> f) {
  return Tape::recompute("recompute", x, std::move(f));
}

}  // namespace ocelli
