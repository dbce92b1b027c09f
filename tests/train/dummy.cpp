// A run without a model: AdamW on a sum of squares with noise, for tests that kill it or fill the
// disk. usage: train_dummy FOLDER STEPS resume|new
#include <cstdio>
#include <cstring>

#include "ocelli/base/file.h"
#include "ocelli/base/rng.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/train/optimizer.h"
#include "ocelli/train/run.h"
#include "ocelli/train/schedule.h"

namespace ocelli {
namespace {

void train(const std::string& folder, int64_t steps, bool resume) {
  RunFolder run(folder,
                {.text = "seed = 1\n", .total_steps = steps, .keep = 2, .metric = "accuracy"},
                resume);
  const Tensor weight = Tensor::full({3000}, 1);
  Optimizer optimizer({{.name = "weight", .value = weight}}, AdamW{});
  if (const auto last = run.last_checkpoint()) {
    const Tensor saved = Safetensors(*last / "model.safetensors").load("weight");
    std::memcpy(weight.raw(), saved.raw(), weight.nbytes());
    optimizer.load(*last / "optimizer.safetensors");
  }
  const Schedule lr = {.base = 0.05, .total = steps, .warmup = 5};
  for (int64_t step = run.step() + 1; step <= steps; ++step) {
    Rng rng(1, static_cast<uint64_t>(step));
    const Tensor gradient = Tensor::empty(weight.shape());
    double loss = 0;
    for (int64_t i = 0; i < weight.numel(); ++i) {
      const float x = weight.values<float>()[i];
      loss += static_cast<double>(x) * x;
      gradient.values<float>()[i] = 2 * x + 0.3f * rng.normal();
    }
    optimizer.step(std::vector<Tensor>{gradient}, {.lr = lr(step)});
    const Metric values[] = {{"loss", loss}, {"lr", lr(step)}};
    run.log(step, values);
    if (step % 7 != 0) continue;
    const Metric accuracy[] = {{"accuracy", 1 / (1 + loss)}};
    run.log(step, accuracy);
    run.checkpoint(step, {{"position", step}}, [&](const std::filesystem::path& to) {
      write_safetensors(to / "model.safetensors", std::vector<NamedTensor>{{"weight", weight}});
      optimizer.save(to / "optimizer.safetensors");
    });
  }
  run.write_report();
  run.end("finished");
}

}  // namespace
}  // namespace ocelli

int main(int, char** argv) {
  try {
    ocelli::train(argv[1], std::atoll(argv[2]), std::strcmp(argv[3], "resume") == 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
