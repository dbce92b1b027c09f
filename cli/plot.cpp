#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/image/encode.h"
#include "ocelli/train/curves.h"
#include "ocelli/train/run.h"

namespace ocelli::cli {
namespace {

struct PlotCommand {
  std::vector<std::string> runs, metrics;
  std::string output;
  bool logarithmic = false;
};

void run(const PlotCommand& command, const Common& common) {
  std::vector<NamedRun> runs;
  for (const std::string& folder : command.runs) {
    for (const auto& path : find_runs(folder)) {
      const auto name = std::filesystem::path(path / "").parent_path().filename();
      runs.push_back({.name = name.string(), .lines = read_metrics(path / "metrics.jsonl")});
    }
  }
  check(!runs.empty(), "{}: there is no run in it", command.runs[0]);
  std::vector<Chart> charts = charts_of(runs, command.metrics);
  auto names = nlohmann::ordered_json::array();
  for (Chart& chart : charts) {
    chart.logarithmic = command.logarithmic;
    names.push_back(chart.title);
  }
  write_png(command.output, draw_charts(charts));
  if (common.json)
    print_json({{"output", command.output}, {"metrics", names}, {"runs", runs.size()}});
}

}  // namespace

void add_plot(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("plot", "Draw the curves of training runs");
  auto plot = std::make_shared<PlotCommand>();
  command->add_option("runs", plot->runs, "Runs, or folders of runs; a curve each")
      ->type_name(kFolder)
      ->required();
  common.add_output(*command);
  command->add_option("-o,--output", plot->output, "The PNG to write")
      ->type_name(kFile)
      ->group("Output")
      ->required();
  command
      ->add_option("--metric", plot->metrics, "What to draw, several between commas (default: all)")
      ->delimiter(',')
      ->type_name(kText);
  command->add_flag("--log", plot->logarithmic, "A logarithmic scale for the values");
  command->footer(
      "Examples:\n"
      "  ocelli plot run/ -o curves.png\n"
      "  ocelli plot run/ run2/ -o loss.png --metric loss --log");
  command->callback([plot, &common] { run(*plot, common); });
}

}  // namespace ocelli::cli
