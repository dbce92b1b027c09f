#include "ocelli/base/log.h"

#include <mutex>

namespace ocelli {
namespace {
std::mutex mutex;
LogCallback callback;
thread_local bool muted = false;
}  // namespace

void set_log_callback(LogCallback new_callback) {
  std::lock_guard lock(mutex);
  callback = std::move(new_callback);
}

void log(LogLevel level, const std::string& message) {
  if (muted) return;
  std::lock_guard lock(mutex);
  if (callback) callback(level, message);
}

MuteLog::MuteLog() : outer_(muted) {
  muted = true;
}
MuteLog::~MuteLog() {
  muted = outer_;
}

}  // namespace ocelli
