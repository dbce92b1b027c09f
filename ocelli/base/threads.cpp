#include "ocelli/base/threads.h"

#include "ocelli/base/error.h"

namespace ocelli {

int num_threads() { return omp_get_max_threads(); }

void set_num_threads(int n) {
  check(n >= 1, "set_num_threads: {} threads; at least 1 is needed", n);
  omp_set_num_threads(n);
}

}  // namespace ocelli
