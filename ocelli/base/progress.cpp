#include "ocelli/base/progress.h"

#include <atomic>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {
std::atomic<bool> cancel{false};
std::atomic<int> holds{0};
static_assert(std::atomic<bool>::is_always_lock_free);
}  // namespace

bool request_cancel() noexcept {
  return !cancel.exchange(true);
}
void clear_cancel() noexcept {
  cancel.store(false);
}
bool cancel_requested() noexcept {
  return cancel.load() && holds.load() == 0;
}

void throw_if_cancelled() {
  if (cancel_requested()) fail(ErrorCode::cancelled, "cancelled");
}

HoldCancel::HoldCancel() noexcept {
  ++holds;
}
HoldCancel::~HoldCancel() {
  --holds;
}
bool HoldCancel::requested() const noexcept {
  return cancel.load();
}

}  // namespace ocelli
