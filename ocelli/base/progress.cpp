#include "ocelli/base/progress.h"

#include <atomic>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {
std::atomic<bool> cancel{false};
static_assert(std::atomic<bool>::is_always_lock_free);
}  // namespace

void request_cancel() noexcept {
  cancel.store(true);
}
void clear_cancel() noexcept {
  cancel.store(false);
}
bool cancel_requested() noexcept {
  return cancel.load();
}

void throw_if_cancelled() {
  if (cancel_requested()) fail(ErrorCode::cancelled, "cancelled");
}

}  // namespace ocelli
