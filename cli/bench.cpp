#include "ocelli/engine/bench.h"

#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/base/threads.h"

namespace ocelli::cli {
namespace {

struct Bench {
  std::vector<int> batches = {1, 8}, threads;
  double seconds = 2;
  bool text = false;
};

std::function<void()> make_run(const OpenModel& opened, int batch, bool text) {
  const Model& model = *opened.model;
  if (text) {
    const int64_t length = model.text_format().context_length;
    const Tensor mask = Tensor::zeros({batch, length}, DType::u8),
                 ids = Tensor::zeros({batch, length}, DType::i32);
    std::ranges::fill(mask.values<uint8_t>(), 1);
    return [&model, ids, mask] { model.embed_text(ids, mask); };
  }
  const auto [height, width] = model.native_size();
  const Tensor pixels = Tensor::full({batch, height, width, 3}, 0.5f);
  return [&model, pixels] {
    model.has_classifier() ? model.classify(pixels) : model.embed_image(pixels);
  };
}

void run(const Bench& options, Common& common) {
  const std::vector<int> threads =
      options.threads.empty() ? std::vector<int>{num_threads()} : options.threads;
  const auto opened = common.open();
  auto array = nlohmann::ordered_json::array();
  if (!common.json)
    fmt::print("{:>5} {:>7} {:>9} {:>9} {:>9} {:>8} {:>6} {:>8}\n", "batch", "threads", "best ms",
               "median ms", "images/s", "GFLOP/s", "roof", "RSS MB");
  for (const int count : threads) {
    set_num_threads(count);
    const double roof = fma_roof_gflops();
    for (const int batch : options.batches) {
      const Timing timing = time_runs(make_run(*opened, batch, options.text), options.seconds);
      const double gflops = timing.flops / timing.best_ms / 1e6,
                   rate = 1e3 * batch / timing.best_ms;
      array.push_back({{"model", opened->name},
                       {"batch", batch},
                       {"threads", count},
                       {"precision", check_precision(common.precision)},
                       {"best_ms", timing.best_ms},
                       {"median_ms", timing.median_ms},
                       {"images_per_second", rate},
                       {"gflops", gflops},
                       {"roof_share", gflops / roof},
                       {"peak_rss_mb", peak_rss_mb()}});
      if (!common.json) {
        fmt::print("{:>5} {:>7} {:>9.2f} {:>9.2f} {:>9.1f} {:>8.1f} {:>5.1f}% {:>8.0f}\n", batch,
                   count, timing.best_ms, timing.median_ms, rate, gflops, 100 * gflops / roof,
                   peak_rss_mb());
      }
    }
  }
  if (common.json) print_json(array);
}

}  // namespace

void add_bench(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("bench", "Measure the speed of a model");
  auto options = std::make_shared<Bench>();
  command->add_option("model", common.model, "Folder, checkpoint file, hub id or 'default'");
  command->add_option("-b,--batch", options->batches, "Batch sizes, e.g. 1,8")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command->add_option("-t,--threads", options->threads, "Numbers of threads, e.g. 1,2")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command->add_option("--seconds", options->seconds, "For each row")->check(CLI::PositiveNumber);
  command->add_flag("--text", options->text, "The text tower instead of the image tower");
  command->add_option("--precision", common.precision, "auto, f32");
  command->add_flag("--json", common.json, "Print JSON (docs/cli.md)");
  command->add_flag("-q,--quiet", common.quiet, "No warnings");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
