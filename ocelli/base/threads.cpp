#include "ocelli/base/threads.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

int default_threads() {
  static const int count = [] {
    if (const char* text = std::getenv("OMP_NUM_THREADS")) {
      if (const int n = std::atoi(text); n >= 1) return n;
    }
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }();
  return count;
}

thread_local int cap = 0;           // 0: the default
thread_local bool working = false;  // inside a body

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Between the ops of a forward pass a thread is needed again within microseconds, so it looks for a
// while before it sleeps; longer, it would take time from others.
template <typename Condition>
bool spin_until(const Condition& condition) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return true;
      pause();
    }
  } while (Clock::now() - start < std::chrono::microseconds(100));
  return condition();
}

// A job is open while `epoch_` is odd. A worker that finds it so enters (`inside_`) and looks
// again; the owner closes the job when all parts are taken and waits for those inside, so a late
// worker sees either a closed job or one that waits for it.
class Team {
 public:
  bool run(int64_t parts, void (*body)(const void*, int64_t), const void* context, int threads) {
    std::unique_lock lock(owner_, std::try_to_lock);
    if (!lock) return false;
    grow(threads - 1);
    body_ = body;
    context_ = context;
    parts_ = parts;
    helpers_ = threads - 1;
    error_ = nullptr;
    next_ = 0;
    ++epoch_;
    epoch_.notify_all();
    working = true;
    take_parts();
    working = false;
    ++epoch_;
    if (!spin_until([this] { return inside_ == 0; })) {
      for (int now = inside_; now != 0; now = inside_) inside_.wait(now);
    }
    if (error_) std::rethrow_exception(error_);
    return true;
  }

 private:
  // Where the system refuses a thread, those that are there do the work.
  void grow(int helpers) {
    try {
      for (; size_ < helpers; ++size_) std::thread([this, id = size_] { work(id); }).detach();
    } catch (const std::system_error&) {
    }
  }

  void take_parts() {
    for (int64_t i = next_++; i < parts_; i = next_++) {
      try {
        body_(context_, i);
      } catch (...) {
        std::lock_guard lock(error_lock_);
        if (!error_) error_ = std::current_exception();
        next_ = parts_;
      }
    }
  }

  void work(int id) {
    working = true;
    for (uint32_t seen = 0;;) {
      if (!spin_until([&] { return epoch_ != seen; })) epoch_.wait(seen);
      seen = epoch_;
      if (seen % 2 == 0) continue;
      ++inside_;
      if (epoch_ == seen && id < helpers_) take_parts();
      if (--inside_ == 0) inside_.notify_all();
    }
  }

  std::mutex owner_, error_lock_;
  int size_ = 0;
  void (*body_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
  int64_t parts_ = 0;
  int helpers_ = 0;
  std::exception_ptr error_;
  alignas(64) std::atomic<uint32_t> epoch_ = 0;
  alignas(64) std::atomic<int> inside_ = 0;
  alignas(64) std::atomic<int64_t> next_ = 0;
};

// Never destroyed: its threads look at it until the process ends.
Team& team() {
  static Team* instance = new Team;
  return *instance;
}

}  // namespace

int num_threads() {
  return working ? 1 : cap > 0 ? cap : default_threads();
}

void set_num_threads(int n) {
  check(n >= 1, "set_num_threads: {} threads; at least 1 is needed", n);
  cap = n;
}

void detail::run_parts(int64_t parts, void (*body)(const void*, int64_t), const void* context) {
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), parts));
  if (threads > 1 && team().run(parts, body, context, threads)) return;
  for (int64_t i = 0; i < parts; ++i) body(context, i);
}

}  // namespace ocelli
