// The folder of a run: config.toml, metrics.jsonl, events.out.tfevents.*, checkpoints/, status.json
// and report.html (docs/training.md).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "ocelli/image/image.h"
#include "ocelli/train/checkpoints.h"
#include "ocelli/train/metrics.h"
#include "ocelli/train/tensorboard.h"

namespace ocelli {

struct RunConfig {
  std::string text;         // config.toml, every key (settings_text)
  int64_t total_steps = 0;  // for status.json
  int64_t keep = 3;         // checkpoints beside the best
  std::string metric = {};  // that says which checkpoint is best; empty: none is
  bool maximise = true;     // the metric
};

struct ReportSample {
  Image image;
  std::string caption;
};

class RunFolder {
 public:
  // A new run; the folder must be new or empty. With `resume`, the run that is there, of the same
  // config: metrics are cut off at its last checkpoint, so that they become those of a run that
  // was never stopped. Throws invalid_argument for a folder that holds something else, another
  // config, or is in use by a process.
  RunFolder(std::filesystem::path folder, RunConfig config, bool resume);
  // Throws as a new run there would, where much is to be computed before it begins.
  static void check_can_begin(const std::filesystem::path& folder);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // Of the last checkpoint: its step and state, 0 and null without one.
  int64_t step() const { return step_; }
  const nlohmann::json& state() const { return state_; }
  std::optional<std::filesystem::path> last_checkpoint() const { return checkpoints_->last(); }
  std::optional<std::filesystem::path> best_checkpoint() const { return checkpoints_->best(); }

  // A line of metrics.jsonl, and scalars for TensorBoard. `passing` is what must not be compared
  // between runs, such as images a second: TensorBoard alone gets it.
  void log(int64_t step, std::span<const Metric> values, std::span<const Metric> passing = {});

  // `write` puts the model and the optimiser's state into a folder; `state`, the random numbers'
  // and the loader's, goes into its state.json. A second one of the same step, whose metrics came
  // later, changes that alone. Only where the metric was logged for this step can it be the best.
  // Fails as Checkpoints::save.
  void checkpoint(int64_t step, const nlohmann::json& state,
                  const std::function<void(const std::filesystem::path& folder)>& write);

  // report.html: the config, a curve a metric, and samples.
  void write_report(std::span<const ReportSample> samples = {}) const;

  // The run's end: "finished", "cancelled" or "failed" with why. Without it, it is "interrupted".
  void end(const std::string& status, const std::string& message = "");

 private:
  class Lock;

  void claim(bool resume);
  void take_up();
  void write_status(const std::string& status, const std::string& message) const;
  std::optional<double> value_at(const std::filesystem::path& checkpoint) const;
  bool is_better() const;

  std::filesystem::path folder_;
  RunConfig config_;
  std::unique_ptr<Lock> lock_;
  int64_t step_ = 0;
  nlohmann::json state_;
  std::optional<double> best_, latest_;  // of config_.metric: of the best checkpoint, and now
  int64_t measured_ = 0;                 // the step of latest_
  std::unique_ptr<Checkpoints> checkpoints_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<TensorBoardFile> events_;
};

// What `ocelli runs` shows of a run.
struct RunSummary {
  std::filesystem::path folder;
  std::string status;        // running, finished, cancelled, failed or interrupted
  std::string message = {};  // why it failed
  int64_t step = 0, total_steps = 0;
  std::vector<Metric> last = {};  // the latest value of each metric
  std::string metric = {};        // which says what is best, with its best value
  std::optional<double> best = {};
  std::optional<int64_t> best_step = {};
};

bool is_run(const std::filesystem::path& folder);
RunSummary summarise_run(const std::filesystem::path& folder);
// `folder` if it is a run, else the runs in it, by name. Throws not_found when it does not exist.
std::vector<std::filesystem::path> find_runs(const std::filesystem::path& folder);

}  // namespace ocelli
