// Progress of long work and its cancellation.
#pragma once

#include <cstdint>
#include <functional>

namespace ocelli {

// Called with (done, total) from the thread that owns the work; total is 0 while unknown.
using Progress = std::function<void(int64_t done, int64_t total)>;

// Asks all running work of the process to stop; safe to call from a signal handler. False where
// that was asked for before.
bool request_cancel() noexcept;
void clear_cancel() noexcept;
bool cancel_requested() noexcept;

// Throws cancelled when a stop was asked for. Long loops call it once an item.
void throw_if_cancelled();

// While it lives, work is not told of a stop that was asked for: for processes that must stop at
// the same place.
class HoldCancel {
 public:
  HoldCancel() noexcept;
  ~HoldCancel();
  HoldCancel(const HoldCancel&) = delete;
  HoldCancel& operator=(const HoldCancel&) = delete;
  bool requested() const noexcept;
};

}  // namespace ocelli
