#include "ocelli/engine/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "cli/common.h"
#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"

namespace ocelli::cli {
namespace {

struct Bench {
  std::string model = "default";
  std::vector<int> batches = {1, 8}, threads;
  double seconds = 2;
  bool text = false, profile = false;
  std::string trace;
};

// Calls of one op with the same shapes together, the longest first.
void print_profile(const NamedProfile& named) {
  const auto& [name, calls] = named;
  struct Row {
    ProfiledCall sum;
    int calls = 0;
  };
  std::map<std::string, Row> by_name;
  double total = 0;
  for (const ProfiledCall& call : calls) {
    Row& row = by_name[call.op + " " + call.shapes];
    ++row.calls;
    row.sum.us += call.us;
    row.sum.flops += call.flops;
    row.sum.bytes += call.bytes;
    total += call.us;
  }
  std::vector<std::pair<std::string, Row>> rows(by_name.begin(), by_name.end());
  std::ranges::sort(rows, std::greater(), [](const auto& row) { return row.second.sum.us; });
  const double length = calls.empty() ? 0 : calls.back().start_us + calls.back().us;
  fmt::print("\n{}: {:.2f} ms, of which {:.2f} ms between the ops\n", name, length / 1e3,
             (length - total) / 1e3);
  fmt::print("{:>8} {:>6} {:>6} {:>8} {:>7}  {}\n", "ms", "share", "calls", "GFLOP/s", "GB/s",
             "op");
  for (const auto& [op, row] : rows) {
    const auto rate = [&](int64_t count) { return static_cast<double>(count) / row.sum.us / 1e3; };
    fmt::print("{:>8.3f} {:>5.1f}% {:>6} {:>8} {:>7.1f}  {}\n", row.sum.us / 1e3,
               100 * row.sum.us / total, row.calls,
               row.sum.flops ? fmt::format("{:.1f}", rate(row.sum.flops)) : "", rate(row.sum.bytes),
               op);
  }
}

void run(const Bench& options, Common& common) {
  const std::vector<int> threads =
      options.threads.empty() ? std::vector<int>{num_threads()} : options.threads;
  common.model = options.model;
  const auto opened = common.open();
  const double loading_mb = peak_rss_mb();
  auto array = nlohmann::ordered_json::array();
  std::vector<NamedProfile> profiles;
  if (!common.json) {
    fmt::print("{:>5} {:>7} {:>9} {:>9} {:>9} {:>8} {:>6} {:>8}\n", "batch", "threads", "best ms",
               "median ms", options.text ? "texts/s" : "images/s", "GFLOP/s", "roof", "RSS MB");
  }
  for (const int count : threads) {
    set_num_threads(count);
    const double roof = fma_roof_gflops();
    for (const int batch : options.batches) {
      const BenchOptions one{.batch = batch, .text = options.text, .seconds = options.seconds};
      const BenchRow row = bench(*opened, one);
      const double rss = std::max(loading_mb, row.peak_rss_mb);
      array.push_back({{"model", opened->name},
                       {"batch", batch},
                       {"threads", count},
                       {"precision", backend::precision_name(opened->precision.precision)},
                       {"isa", backend::current_isa()},
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
      if (options.profile || !options.trace.empty()) {
        profiles.emplace_back(fmt::format("{}, batch {}, {} {}", opened->name, batch, count,
                                          count == 1 ? "thread" : "threads"),
                              profile(*opened, one));
      }
    }
  }
  if (!options.trace.empty()) write_trace(profiles, options.trace);
  if (common.json) return print_json(array);
  for (const NamedProfile& named : profiles) {
    if (options.profile) print_profile(named);
  }
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
  command->add_flag("--profile", options->profile, "Print where the time goes, op by op");
  command
      ->add_option("--trace", options->trace,
                   "Write the ops of a forward for Perfetto or chrome://tracing (JSON)")
      ->type_name(kFile);
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
      "  ocelli bench clip-folder --text --json\n"
      "  ocelli bench model-folder --batch 8 --profile --trace trace.json");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
