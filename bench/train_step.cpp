// A step of a ViT with random weights on random pixels (forward, backward, clip_grad_norm, AdamW):
// images a second, the peak of memory, and with --profile where the time goes.
// build/bench/train_step [tiny|small|base] [f32|bf16] [--batch N] [--steps N] [--recompute]
// [--profile]
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/rng.h"
#include "ocelli/base/threads.h"
#include "ocelli/formats/memory_source.h"
#include "ocelli/models/trainable.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/profile.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/train/optimizer.h"

namespace ocelli {
namespace {

constexpr int64_t kClasses = 1000;

Tensor random(Rng& rng, const Shape& shape, float size) {
  const Tensor t = Tensor::empty(shape);
  for (float& x : t.values<float>()) x = size * (2 * rng.uniform() - 1);
  return t;
}

// timm's vit_*_patch16_224.
ModelFolder random_vit(int64_t width) {
  Rng rng(1);
  std::map<std::string, Tensor, std::less<>> tensors;
  const auto make = [&](const std::string& name, const Shape& shape) {
    tensors[name] = random(rng, shape, 0.03f);
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    make(name + ".weight", {out, in});
    make(name + ".bias", {out});
  };
  const auto norm = [&](const std::string& name) {
    tensors[name + ".weight"] = Tensor::full({width}, 1);
    tensors[name + ".bias"] = Tensor::zeros({width});
  };
  make("cls_token", {1, 1, width});
  make("pos_embed", {1, 197, width});
  make("patch_embed.proj.weight", {width, 3, 16, 16});
  make("patch_embed.proj.bias", {width});
  for (int i = 0; i < 12; ++i) {
    const std::string block = fmt::format("blocks.{}.", i);
    norm(block + "norm1");
    linear(block + "attn.qkv", width, 3 * width);
    linear(block + "attn.proj", width, width);
    norm(block + "norm2");
    linear(block + "mlp.fc1", width, 4 * width);
    linear(block + "mlp.fc2", 4 * width, width);
  }
  norm("norm");
  linear("head", width, kClasses);
  ModelFolder folder;
  folder.checkpoint = std::make_shared<MemorySource>(std::move(tensors));
  return folder;
}

double seconds_of(const auto& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void print_profile(const std::vector<ProfiledCall>& calls, double seconds) {
  std::map<std::string, std::pair<double, int>> sums;
  double inside = 0;
  for (const ProfiledCall& call : calls) {
    auto& [us, count] = sums[call.op + " " + call.shapes];
    us += call.us;
    ++count;
    inside += call.us;
  }
  std::vector<std::pair<std::string, std::pair<double, int>>> rows(sums.begin(), sums.end());
  std::ranges::sort(rows, {}, [](const auto& row) { return -row.second.first; });
  for (const auto& [name, sum] : rows) {
    if (sum.first > 2e-3 * inside)
      fmt::print("{:9.2f} ms {:4} x  {}\n", sum.first * 1e-3, sum.second, name);
  }
  fmt::print("{:9.2f} ms outside\n", seconds * 1e3 - inside * 1e-3);
}

int run(const std::vector<std::string>& args) {
  int64_t width = 192, batch = 32, steps = 5;
  auto precision = backend::Precision::f32;
  bool profiles = false, recomputes = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    const auto number = [&] { return i + 1 < args.size() ? std::atoll(args[++i].c_str()) : 0; };
    if (arg == "small") width = 384;
    if (arg == "base") width = 768;
    if (arg == "bf16") precision = backend::Precision::bf16;
    if (arg == "--batch") batch = number();
    if (arg == "--steps") steps = number();
    if (arg == "--recompute") recomputes = true;
    if (arg == "--profile") profiles = true;
  }
  const backend::UseBackend scope(backend::cpu(precision));
  const TrainableModel trained(random_vit(width));
  Rng rng(2);
  const Tensor pixels = random(rng, {batch, 224, 224, 3}, 1);
  const Tensor labels = Tensor::empty({batch}, DType::i32);
  for (int32_t& x : labels.values<int32_t>()) x = static_cast<int32_t>(rng.next_u32() % kClasses);
  std::vector<Parameter> parameters;
  for (const std::string& name : trained.parameters())
    parameters.push_back({.name = name, .value = trained.tensor(name)});
  Optimizer optimizer(parameters, AdamW());
  double forward = 0;
  const auto step = [&] {
    Tape tape;
    const Recompute recompute(recomputes);
    Tensor loss;
    forward = seconds_of([&] {
      trained.watch(tape);
      loss = cross_entropy(trained.build()->classify(pixels), labels);
    });
    const Gradients all = tape.backward(loss);
    std::vector<Tensor> gradients;
    for (const Parameter& parameter : parameters) gradients.push_back(all(parameter.value));
    clip_grad_norm(parameters, gradients, 1);
    optimizer.step(gradients, {.lr = 1e-3, .weight_decay = 0.01});
  };
  step();
  double best = 1e9, best_forward = 0;
  for (int64_t i = 0; i < steps; ++i) {
    const double seconds = seconds_of(step);
    if (seconds < best) best_forward = forward;
    best = std::min(best, seconds);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(
      "width {} {} batch {} {} {} threads: {:.1f} img/s, forward {:.0f} ms of {:.0f}, {} MiB\n",
      width, backend::precision_name(precision), batch, backend::current_isa(), num_threads(),
      static_cast<double>(batch) / best, best_forward * 1e3, best * 1e3, usage.ru_maxrss >> 10);
  if (!profiles) return 0;
  const Profile profile;
  const double seconds = seconds_of(step);
  print_profile(profile.calls(), seconds);
  return 0;
}

}  // namespace
}  // namespace ocelli

int main(int argc, char** argv) {
  return ocelli::run({argv + 1, argv + argc});
}
