// Threads are OpenMP's, shared with oneDNN. Work is always split over outputs, never over a sum,
// so that results do not depend on the number of threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>

namespace ocelli {

// Threads that ops called from this thread use (default: OMP_NUM_THREADS or all cores).
int num_threads();

// Sets the cap for ops called from the calling thread; n >= 1. Threads started later begin with
// OpenMP's default, so a worker sets its own.
void set_num_threads(int n);

// Calls body(begin, end) over a partition of [0, n), each part at least `grain` long but the last.
// The body must not throw across threads: the first exception is caught and thrown again here.
template <typename Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  const int64_t parts = std::min<int64_t>(num_threads(), (n + grain - 1) / std::max<int64_t>(grain, 1));
  if (parts <= 1 || omp_in_parallel()) {
    body(int64_t{0}, n);
    return;
  }
  std::exception_ptr error;
#pragma omp parallel num_threads(static_cast<int>(parts))
  {
    const int64_t count = omp_get_num_threads(), rank = omp_get_thread_num();
    const int64_t begin = n * rank / count, end = n * (rank + 1) / count;
    try {
      if (begin < end) body(begin, end);
    } catch (...) {
#pragma omp critical(ocelli_parallel_for)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace ocelli
