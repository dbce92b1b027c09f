// Speed of a model beside what the processor could do at most.
#pragma once

#include "ocelli/engine/open.h"

namespace ocelli {

// GFLOP/s of nothing but fused multiply-adds in registers, on the current number of threads and
// with the instruction set the kernels use: the roof of f32.
double fma_roof_gflops();

struct Timing {
  double best_ms = 0, median_ms = 0;
  int64_t flops = 0;  // of one run
};

// Repeats `run` for about `seconds` (at least 5 times) after two runs to warm up.
Timing time_runs(const std::function<void()>& run, double seconds);

// Largest resident memory of the process so far, in MB.
double peak_rss_mb();

}  // namespace ocelli
