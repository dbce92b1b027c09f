#include "ocelli/engine/bench.h"

#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/base/threads.h"

namespace ocelli::cli {
namespace {

struct Bench {
  std::string model = "default";
  std::vector<int> batches = {1, 8}, threads;
  double seconds = 2;
  bool text = false;
};

void run(const Bench& options, Common& common) {
  const std::vector<int> threads =
      options.threads.empty() ? std::vector<int>{num_threads()} : options.threads;
  common.model = options.model;
  const auto opened = common.open();
  const double loading_mb = peak_rss_mb();
  auto array = nlohmann::ordered_json::array();
  if (!common.json) {
    fmt::print("{:>5} {:>7} {:>9} {:>9} {:>9} {:>8} {:>6} {:>8}\n", "batch", "threads", "best ms",
               "median ms", options.text ? "texts/s" : "images/s", "GFLOP/s", "roof", "RSS MB");
  }
  for (const int count : threads) {
    set_num_threads(count);
    const double roof = fma_roof_gflops();
    for (const int batch : options.batches) {
      const BenchRow row =
          bench(*opened, {.batch = batch, .text = options.text, .seconds = options.seconds});
      const double rss = std::max(loading_mb, row.peak_rss_mb);
      array.push_back({{"model", opened->name},
                       {"batch", batch},
                       {"threads", count},
                       {"precision", check_precision(common.precision)},
                       {"best_ms", row.best_ms},
                       {"median_ms", row.median_ms},
                       {"images_per_second", row.images_per_second},
                       {"gflops", row.gflops},
                       {"roof_share", row.gflops / roof},
                       {"peak_rss_mb", rss}});
      if (!common.json) {
        fmt::print("{:>5} {:>7} {:>9.2f} {:>9.2f} {:>9.1f} {:>8.1f} {:>5.1f}% {:>8.0f}\n", batch,
                   count, row.best_ms, row.median_ms, row.images_per_second, row.gflops,
                   100 * row.gflops / roof, rss);
        std::fflush(stdout);
      }
    }
  }
  if (common.json) print_json(array);
}

}  // namespace

void add_bench(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("bench", "Measure the speed of a model");
  auto options = std::make_shared<Bench>();
  command
      ->add_option("model", options->model, "A folder, a checkpoint file, a hub id, or 'default'")
      ->type_name(kModel);
  command->add_option("-b,--batch", options->batches, "Batch sizes (default: 1,8)")
      ->delimiter(',')
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->add_option("-t,--threads", options->threads, "Numbers of threads (default: all cores)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name(kNumber);
  command->add_option("--seconds", options->seconds, "Time for each row (default: 2)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->add_flag("--text", options->text, "The text tower instead of the image tower");
  common.add_precision(*command);
  common.add_size(*command);
  command->add_flag("--json", common.json, "Print JSON (docs/cli.md) on standard output");
  command->add_flag("-q,--quiet", common.quiet, "No warnings");
  command->footer(
      "Each row: the best and the median time of a forward; its share of the processor's\n"
      "roof of fused multiply-adds, measured in the same run; and the memory that a\n"
      "program needs that loads the model and does this row alone.\n"
      "Examples:\n"
      "  ocelli bench model-folder --batch 1,8 --threads 1,2\n"
      "  ocelli bench clip-folder --text --json");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
