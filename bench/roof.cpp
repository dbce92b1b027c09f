// What the processor and its memory can do at most, beside fma_roof: products of bf16 and of bytes
// in registers, and reading memory. build/bench/kernels --benchmark_filter=roof
#include <benchmark/benchmark.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"

namespace ocelli {
namespace {

constexpr int kRepeats = 7;

// Seconds of the fastest run of body(thread) on all threads at once.
template <typename Body>
double fastest(const Body& body) {
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(num_threads(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) body(t);
    });
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

#if defined(__x86_64__)
constexpr int64_t kRounds = 4'000'000;
constexpr int kChains = 12;  // as fma_roof

__attribute__((target("avx512f,avx512bf16"))) void bf16_dots() {
  __m512 sums[kChains];  // of different values, or the compiler would make one of them
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto x = (__m512bh)_mm512_set1_epi16(0x3f80);
  for (int64_t r = 0; r < kRounds; ++r) {
    _Pragma("GCC unroll 12") for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, x, x);
  }
  benchmark::DoNotOptimize(sums);
}

__attribute__((target("avx512f,avx512vnni"))) void byte_dots() {
  __m512i sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_epi32(i);
  const __m512i x = _mm512_set1_epi32(0x03050709);
  for (int64_t r = 0; r < kRounds; ++r) {
    _Pragma("GCC unroll 12") for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, x, x);
  }
  benchmark::DoNotOptimize(sums);
}

// `numbers` of a vector are multiplied and added at once.
void dots_roof(benchmark::State& state, bool supported, void (*dots)(), double numbers) {
  if (!supported) return state.SkipWithError("the processor has no such products");
  double best = 0;
  for (auto _ : state)
    best = 2 * numbers * kChains * kRounds * num_threads() / fastest([&](int64_t) { dots(); });
  state.counters["GFLOP/s"] = best / 1e9;
}
void bf16_roof(benchmark::State& state) {
  dots_roof(state, backend::has_bf16_dots(), bf16_dots, 32);
}
void int8_roof(benchmark::State& state) {
  dots_roof(state, backend::has_byte_dots(), byte_dots, 64);
}
BENCHMARK(bf16_roof)->Iterations(1)->UseRealTime();
BENCHMARK(int8_roof)->Iterations(1)->UseRealTime();
#endif

void memory_roof(benchmark::State& state) {
  constexpr int64_t kWords = 1 << 26;  // 512 MiB: no cache holds it
  const std::vector<uint64_t> words(kWords, 1);
  const int64_t each = kWords / num_threads();
  double best = 0;
  for (auto _ : state) {
    best = 8.0 * static_cast<double>(each) * num_threads() / fastest([&](int64_t t) {
             const auto first = words.begin() + t * each;
             benchmark::DoNotOptimize(std::reduce(first, first + each));
           });
  }
  state.counters["GB/s"] = best / 1e9;
}
BENCHMARK(memory_roof)->Iterations(1)->UseRealTime();

}  // namespace
}  // namespace ocelli
