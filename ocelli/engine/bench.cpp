#include "ocelli/engine/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/ops/flops.h"

namespace ocelli {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr int kChains = 12;  // independent sums: latency times throughput of every processor so far

// The vectors of GCC and clang; the target decides what an element-wise multiply-add becomes.
#define OCELLI_FMA_LOOP(NAME, WIDTH, TARGET)                                                \
  TARGET float NAME(int64_t rounds) {                                                       \
    typedef float V __attribute__((vector_size(4 * WIDTH)));                                \
    V sums[kChains], x = V{} + 1.0000001f, y = V{} + 1e-9f;                                 \
    for (int i = 0; i < kChains; ++i) sums[i] = V{} + static_cast<float>(i);                \
    for (int64_t r = 0; r < rounds; ++r) {                                                  \
      _Pragma("GCC unroll 12") for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * x + y; \
    }                                                                                       \
    float total = 0;                                                                        \
    for (int i = 0; i < kChains; ++i) total += sums[i][0];                                  \
    return total;                                                                           \
  }
#if defined(__x86_64__)
OCELLI_FMA_LOOP(fma_512, 16, __attribute__((target("avx512f,fma,prefer-vector-width=512"))))
OCELLI_FMA_LOOP(fma_256, 8, __attribute__((target("avx2,fma"))))
#endif
OCELLI_FMA_LOOP(fma_128, 4, )
#undef OCELLI_FMA_LOOP

}  // namespace

double fma_roof_gflops() {
  constexpr int64_t kRounds = 4'000'000;
  float (*loop)(int64_t) = fma_128;
  int width = 4;
#if defined(__x86_64__)
  const std::string isa = backend::current_isa();
  if (isa == "avx512") loop = fma_512, width = 16;
  if (isa == "avx2") loop = fma_256, width = 8;
#endif
  const int threads = num_threads();
  double best = std::numeric_limits<double>::infinity();
  volatile float sink = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto start = Clock::now();
    {
      std::vector<std::jthread> team;
      for (int t = 1; t < threads; ++t) team.emplace_back([&] { sink = loop(kRounds); });
      sink = loop(kRounds);
    }
    best = std::min(best, seconds_since(start));
  }
  return 2.0 * width * kChains * static_cast<double>(kRounds) * threads / best / 1e9;
}

Timing time_runs(const std::function<void()>& run, double seconds) {
  Timing timing;
  {
    const FlopCounter counter;
    run();
    timing.flops = counter.total();
  }
  run();
  std::vector<double> times;
  for (const auto start = Clock::now(); times.size() < 5 || seconds_since(start) < seconds;) {
    throw_if_cancelled();
    const auto begin = Clock::now();
    run();
    times.push_back(1e3 * seconds_since(begin));
  }
  std::ranges::sort(times);
  timing.best_ms = times.front();
  timing.median_ms = times[times.size() / 2];
  return timing;
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace ocelli
