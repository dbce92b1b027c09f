// One team of threads for the kernels of the whole process. Work is always split over outputs,
// never over a sum, so that results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace ocelli {

// Threads that ops called from this thread use (default: OMP_NUM_THREADS, else the processors that
// the process may run on).
int num_threads();

// Sets the cap for ops called from the calling thread; n >= 1. Threads started later begin with the
// default, so a worker sets its own.
void set_num_threads(int n);

namespace detail {

// Calls body(context, i) for every i in [0, parts), on this thread and up to num_threads() - 1
// others. Whoever is free takes the next part; nobody waits for a thread that has taken none.
void run_parts(int64_t parts, void (*body)(const void* context, int64_t part), const void* context);

}  // namespace detail

// Calls body(begin, end) over a partition of [0, n) into ranges of at least `grain`, up to four a
// thread. Inside a body and in a second caller at the same time it runs serially. The first
// exception of a body is thrown again here, after the others have ended.
template <typename Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  const int64_t most = (n + grain - 1) / std::max<int64_t>(grain, 1);
  const int64_t threads = std::min<int64_t>(num_threads(), most);
  if (threads <= 1) return body(int64_t{0}, n);
  const int64_t parts = std::min(4 * threads, most / threads * threads);
  struct Context {
    const Body& body;
    int64_t n, parts;
  } const context{body, n, parts};
  detail::run_parts(
      parts,
      [](const void* opaque, int64_t i) {
        const auto& c = *static_cast<const Context*>(opaque);
        c.body(c.n * i / c.parts, c.n * (i + 1) / c.parts);
      },
      &context);
}

}  // namespace ocelli
