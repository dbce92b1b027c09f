#include "ocelli/engine/bench.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/file.h"
#include "ocelli/base/threads.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/allocator.h"

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
  if (isa.starts_with("avx512")) loop = fma_512, width = 16;
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

namespace {

std::function<void()> make_run(const OpenModel& opened, int64_t batch, bool text) {
  const Model& model = *opened.model;
  if (text) {
    const int64_t length = model.text_format().context_length;
    const Tensor mask = Tensor::zeros({batch, length}, DType::u8),
                 ids = Tensor::zeros({batch, length}, DType::i32);
    std::ranges::fill(mask.values<uint8_t>(), 1);
    return [&model, ids, mask] { model.embed_text(ids, mask); };
  }
  const auto [height, width] = opened.input_size;
  const Tensor pixels = Tensor::full({batch, height, width, 3}, 0.5f);
  return [&model, pixels] {
    model.has_classifier() ? model.classify(pixels) : model.embed_image(pixels);
  };
}

// What earlier work held is given back, and the kernel's high-water mark starts anew (proc(5)).
void forget_peak() {
  release_cached_memory();
  std::ofstream("/proc/self/clear_refs") << '5';
}

}  // namespace

BenchRow bench(const OpenModel& opened, const BenchOptions& options) {
  forget_peak();
  const auto run = make_run(opened, options.batch, options.text);
  int64_t flops = 0;
  {
    const FlopCounter counter;
    run();
    flops = counter.total();
  }
  run();
  std::vector<double> times;
  for (const auto start = Clock::now();
       times.size() < 3 || seconds_since(start) < options.seconds;) {
    throw_if_cancelled();
    const auto begin = Clock::now();
    run();
    times.push_back(1e3 * seconds_since(begin));
  }
  std::ranges::sort(times);
  BenchRow row;
  row.best_ms = times.front();
  row.median_ms = times[times.size() / 2];
  row.images_per_second = 1e3 * static_cast<double>(options.batch) / row.best_ms;
  row.gflops = static_cast<double>(flops) / row.best_ms / 1e6;
  row.peak_rss_mb = peak_rss_mb();
  return row;
}

std::vector<ProfiledCall> profile(const OpenModel& opened, const BenchOptions& options) {
  const auto run = make_run(opened, options.batch, options.text);
  run();
  std::vector<ProfiledCall> best;
  const auto length = [](const std::vector<ProfiledCall>& calls) {
    return calls.empty() ? 0 : calls.back().start_us + calls.back().us;
  };
  int repeats = 0;
  for (const auto start = Clock::now(); repeats < 3 || seconds_since(start) < options.seconds;
       ++repeats) {
    throw_if_cancelled();
    const Profile profile;
    run();
    if (repeats == 0 || length(profile.calls()) < length(best)) best = profile.calls();
  }
  return best;
}

void write_trace(const std::vector<NamedProfile>& profiles, const std::filesystem::path& file) {
  auto events = nlohmann::json::array();
  for (size_t pid = 0; pid < profiles.size(); ++pid) {
    const auto& [name, calls] = profiles[pid];
    events.push_back(
        {{"ph", "M"}, {"name", "process_name"}, {"pid", pid}, {"args", {{"name", name}}}});
    for (const ProfiledCall& call : calls) {
      nlohmann::json arguments = {{"shapes", call.shapes},
                                  {"GB/s", static_cast<double>(call.bytes) / call.us / 1e3}};
      if (call.flops > 0) arguments["GFLOP/s"] = static_cast<double>(call.flops) / call.us / 1e3;
      events.push_back({{"ph", "X"},
                        {"name", call.op},
                        {"pid", pid},
                        {"tid", 0},
                        {"ts", call.start_us},
                        {"dur", call.us},
                        {"args", std::move(arguments)}});
    }
  }
  write_file(file, nlohmann::json{{"traceEvents", std::move(events)}}.dump());
}

double peak_rss_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

}  // namespace ocelli
