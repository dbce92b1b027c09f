// Speed of a model beside what the processor could do at most.
#pragma once

#include "ocelli/engine/open.h"
#include "ocelli/ops/profile.h"

namespace ocelli {

// GFLOP/s of nothing but fused multiply-adds in registers, on the current number of threads and
// with the instruction set the kernels use: the roof of f32.
double fma_roof_gflops();

struct BenchOptions {
  int64_t batch = 1;
  bool text = false;   // the text tower instead of the image tower
  double seconds = 2;  // for the repetitions, of which there are at least 5 after two to warm up
};

struct BenchRow {
  double best_ms = 0, median_ms = 0;
  double images_per_second = 0;  // at best
  double gflops = 0;             // at best
  double peak_rss_mb = 0;        // largest resident memory of these repetitions alone
};

// Runs the model on the current number of threads.
BenchRow bench(const OpenModel& opened, const BenchOptions& options);

// The calls of the fastest of some forwards, in order.
std::vector<ProfiledCall> profile(const OpenModel& opened, const BenchOptions& options);

// A profile by name, in the trace event format that chrome://tracing and Perfetto open.
using NamedProfile = std::pair<std::string, std::vector<ProfiledCall>>;
void write_trace(const std::vector<NamedProfile>& profiles, const std::filesystem::path& file);

// Largest resident memory of the process in MB since its start, or since bench() last began.
double peak_rss_mb();

}  // namespace ocelli
