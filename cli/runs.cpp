#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/train/run.h"

namespace ocelli::cli {
namespace {

nlohmann::ordered_json to_json(const RunSummary& run) {
  auto last = nlohmann::ordered_json::object();
  for (const auto& [name, value] : run.last) last[name] = value;
  nlohmann::ordered_json json = {{"run", run.folder.string()},
                                 {"status", run.status},
                                 {"step", run.step},
                                 {"total_steps", run.total_steps},
                                 {"last", std::move(last)}};
  if (run.best)
    json["best"] = {{"metric", run.metric}, {"value", *run.best}, {"step", *run.best_step}};
  if (!run.message.empty()) json["message"] = run.message;
  return json;
}

void print_run(const RunSummary& run) {
  const std::string steps = run.total_steps > 0 ? fmt::format("{}/{}", run.step, run.total_steps)
                                                : std::to_string(run.step);
  fmt::print("{}\n  {}, step {}", run.folder.string(), run.status, steps);
  if (run.best) fmt::print(", best {} {:.5g} at step {}", run.metric, *run.best, *run.best_step);
  fmt::print("\n");
  if (!run.message.empty()) fmt::print("  {}\n", run.message);
  for (const auto& [name, value] : run.last) fmt::print("  {:<24} {:.5g}\n", name, value);
}

void run(const std::string& folder, const Common& common) {
  auto json = nlohmann::ordered_json::array();
  const auto runs = find_runs(folder);
  for (const auto& path : runs) {
    const RunSummary summary = summarise_run(path);
    if (common.json)
      json.push_back(to_json(summary));
    else
      print_run(summary);
  }
  if (common.json) return print_json(json);
  if (runs.empty()) fmt::print("no runs in {}\n", folder);
}

}  // namespace

void add_runs(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("runs", "List training runs and how far they are");
  auto folder = std::make_shared<std::string>(".");
  command->add_option("folder", *folder, "A run, or a folder of runs (default: this one)")
      ->type_name(kFolder);
  common.add_output(*command);
  command->footer(
      "A run is running, finished, cancelled, failed, or interrupted (its process is gone).\n"
      "Example:\n"
      "  ocelli runs runs/");
  command->callback([folder, &common] { run(*folder, common); });
}

}  // namespace ocelli::cli
