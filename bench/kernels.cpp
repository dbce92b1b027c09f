// Kernels one by one, as op/shape; GFLOP/s stands beside the processor's roof (fma_roof).
// build/bench/kernels --benchmark_filter=linear   (OMP_NUM_THREADS, OCELLI_MAX_ISA)
#include <benchmark/benchmark.h>

#include "ocelli/engine/bench.h"
#include "ocelli/ops/attention.h"
#include "ocelli/ops/conv.h"
#include "ocelli/ops/flops.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/norm.h"
#include "ocelli/train/optimizer.h"

namespace ocelli {
namespace {

Tensor random(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  uint32_t state = 1;
  for (float& x : t.values<float>()) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
  }
  return t;
}

template <typename Run>
void measure(benchmark::State& state, const Run& run) {
  int64_t flops = 0;
  {
    const FlopCounter counter;
    run();
    flops = counter.total();
  }
  for (auto _ : state) run();
  state.counters["GFLOP/s"] = benchmark::Counter(static_cast<double>(flops) * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void fma_roof(benchmark::State& state) {
  double best = 0;
  for (auto _ : state) best = std::max(best, fma_roof_gflops());
  state.counters["GFLOP/s"] = best;
}
BENCHMARK(fma_roof)->Iterations(1)->UseRealTime();

// M, K, N; the second layer of an MLP, K > N, adds the residual, the first has GELU.
void linear_layers(benchmark::State& state) {
  const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  LinearWeight weight(random({n, k}), random({n}));
  weight.pack();
  const Tensor x = random({m, k}), residual = random({m, n});
  const bool first = n == 4 * k;
  measure(state, [&] {
    Epilogue epilogue;
    if (first) epilogue.activation = Unary::gelu;
    if (k >= n) epilogue.residual = residual;
    benchmark::DoNotOptimize(linear(x, weight, std::move(epilogue)).raw());
  });
}
BENCHMARK(linear_layers)
    ->UseRealTime()
    ->ArgNames({"M", "K", "N"})
    // ViT-Ti/16, ViT-B/16, CLIP B/32 image and text, at batch 1 and 8.
    ->Args({197, 192, 576})
    ->Args({197, 192, 192})
    ->Args({197, 192, 768})
    ->Args({197, 768, 192})
    ->Args({1576, 192, 768})
    ->Args({1576, 768, 192})
    ->Args({197, 768, 2304})
    ->Args({197, 768, 768})
    ->Args({197, 768, 3072})
    ->Args({197, 3072, 768})
    ->Args({1576, 768, 2304})
    ->Args({1576, 768, 3072})
    ->Args({1576, 3072, 768})
    ->Args({50, 768, 2304})
    ->Args({50, 768, 3072})
    ->Args({50, 3072, 768})
    ->Args({400, 768, 3072})
    ->Args({400, 3072, 768})
    ->Args({77, 512, 1536})
    ->Args({77, 512, 2048})
    ->Args({77, 2048, 512})
    ->Args({616, 512, 2048})
    ->Args({616, 2048, 512});

// B, N, H, D
void attention_heads(benchmark::State& state) {
  const Shape shape = {state.range(0), state.range(1), 3, state.range(2), state.range(3)};
  const Tensor qkv = random(shape);
  measure(state, [&] {
    benchmark::DoNotOptimize(attention(qkv.select(2, 0), qkv.select(2, 1), qkv.select(2, 2)).raw());
  });
}
BENCHMARK(attention_heads)
    ->UseRealTime()
    ->ArgNames({"B", "N", "H", "D"})
    ->Args({1, 197, 3, 64})
    ->Args({8, 197, 3, 64})
    ->Args({1, 197, 12, 64})
    ->Args({8, 197, 12, 64})
    ->Args({8, 50, 12, 64})
    ->Args({1, 1370, 6, 64});

// Side, input channels, output channels, kernel, stride; groups = channels when the two are equal
// and the kernel is larger than 1.
void convolution(benchmark::State& state) {
  const int64_t side = state.range(0), in = state.range(1), out = state.range(2),
                kernel = state.range(3);
  const int64_t stride = state.range(4), groups = in == out && kernel > 1 ? in : 1;
  const int64_t pad = kernel / 2;
  Conv2dWeight weight(
      random({out, in / groups, kernel, kernel}), random({out}),
      {.stride = {stride, stride}, .padding = {pad, pad, pad, pad}, .groups = groups});
  weight.pack();
  const Tensor x = random({1, side, side, in});
  measure(state,
          [&] { benchmark::DoNotOptimize(conv2d(x, weight, {.activation = Unary::relu6}).raw()); });
}
BENCHMARK(convolution)
    ->UseRealTime()
    ->ArgNames({"side", "in", "out", "kernel", "stride"})
    ->Args({224, 3, 32, 3, 2})
    ->Args({112, 32, 32, 3, 1})
    ->Args({112, 32, 16, 1, 1})
    ->Args({112, 16, 96, 1, 1})
    ->Args({112, 96, 96, 3, 2})
    ->Args({56, 144, 144, 3, 1})
    ->Args({28, 240, 240, 5, 1})
    ->Args({14, 672, 672, 5, 1})
    ->Args({14, 112, 672, 1, 1})
    ->Args({7, 1152, 1152, 5, 1})
    ->Args({7, 192, 1152, 1, 1})
    ->Args({7, 1152, 192, 1, 1})
    ->Args({56, 64, 128, 3, 1})
    ->Args({28, 128, 256, 3, 1});

// Rows, channels
void norms(benchmark::State& state) {
  const Tensor x = random({state.range(0), state.range(1)}), weight = random({state.range(1)});
  for (auto _ : state) benchmark::DoNotOptimize(layer_norm(x, weight, weight, 1e-6f).raw());
  state.SetBytesProcessed(state.iterations() * x.numel() * 8);
}
BENCHMARK(norms)
    ->UseRealTime()
    ->ArgNames({"M", "C"})
    ->Args({197, 192})
    ->Args({197, 768})
    ->Args({1576, 768});

// A step of the optimiser over the parameters of a ViT-B/16: 0 AdamW, 1 SGD, 2 LARS, 3 Lion.
void optimizer_step(benchmark::State& state) {
  constexpr int64_t kWidth = 768, kBlocks = 12;
  std::vector<Parameter> parameters;
  const auto add = [&](const Shape& shape) {
    parameters.push_back({.name = std::to_string(parameters.size()), .value = random(shape)});
  };
  add({kWidth, 3 * 16 * 16});
  for (const int64_t rows : {1, 197}) add({rows, kWidth});
  for (int64_t block = 0; block < kBlocks; ++block) {
    for (const int64_t n : {3, 1, 4}) add({n * kWidth, kWidth});
    add({kWidth, 4 * kWidth});
    for (const int64_t n : {3, 1, 4, 1, 1, 1, 1, 1}) add({n * kWidth});
  }
  add({1000, kWidth});
  std::vector<Tensor> gradients;
  int64_t count = 0;
  for (const Parameter& p : parameters) {
    gradients.push_back(random(p.value.shape()));
    count += p.value.numel();
  }
  constexpr Sgd kSgd = {.momentum = 0.9};
  const Method methods[] = {AdamW{}, kSgd, Lars{}, Lion{}};
  // Parameter, gradient and moments read, parameter and moments written; LARS reads two for norms.
  constexpr int64_t kFloats[] = {7, 5, 7, 5};
  const auto method = static_cast<size_t>(state.range(0));
  Optimizer optimizer(parameters, methods[method]);
  optimizer.step(gradients, {.lr = 1e-3});  // makes the moments
  for (auto _ : state) optimizer.step(gradients, {.lr = 1e-3, .weight_decay = 0.05});
  state.SetBytesProcessed(state.iterations() * count * kFloats[method] * 4);
  state.counters["parameters"] = static_cast<double>(count);
}
BENCHMARK(optimizer_step)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->ArgName("method")
    ->DenseRange(0, 3);

}  // namespace
}  // namespace ocelli
