#include "ocelli/train/run.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/train/run_report.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kConfig[] = "config.toml", kMetrics[] = "metrics.jsonl", kStatus[] = "status.json";
constexpr char kState[] = "state.json", kLock[] = ".lock";

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A small JSON file of our own, which somebody may have edited.
class Fields {
 public:
  explicit Fields(fs::path file)
      : file_(std::move(file)), json_(json::parse(read_file(file_), nullptr, false)) {
    if (!json_.is_object()) {
      fail(ErrorCode::corrupt_data, "{}: is no JSON object", file_.string());
    }
  }

  template <typename T>
  T get(const char* key, const T& fallback) const {
    try {
      return json_.value(key, fallback);
    } catch (const json::exception&) {
      fail(ErrorCode::corrupt_data, "{}: '{}' is of the wrong kind", file_.string(), key);
    }
  }

 private:
  fs::path file_;
  json json_;
};

// Holds until the descriptor is closed, which the end of a process does, too.
// A run that was killed before it had a configuration leaves its lock, and perhaps a temporary
// file.
bool never_began(const fs::path& folder) {
  return std::ranges::all_of(fs::directory_iterator(folder), [](const auto& entry) {
    const std::string name = entry.path().filename();
    return name == kLock || name.starts_with(std::string(kConfig) + ".tmp-");
  });
}

bool take_lock(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0;
}

bool is_in_use(const fs::path& folder) {
  const int fd = ::open((folder / kLock).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool taken = take_lock(fd);
  ::close(fd);
  return !taken;
}

bool better(double value, double than, bool maximise) {
  return maximise ? value > than : value < than;
}

}  // namespace

class RunFolder::Lock {
 public:
  explicit Lock(const fs::path& folder)
      : fd_(::open((folder / kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0) {
      fail(ErrorCode::io, "{}: {}", (folder / kLock).string(), std::strerror(errno));
    }
    if (take_lock(fd_)) return;
    ::close(fd_);
    fail(ErrorCode::invalid_argument, "{}: another process is training in it", folder.string());
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

RunFolder::RunFolder(fs::path folder, RunConfig config, bool resume)
    : folder_(std::move(folder)), config_(std::move(config)) {
  claim(resume);
  checkpoints_ = std::make_unique<Checkpoints>(folder_ / "checkpoints", config_.keep);
  metrics_ = std::make_unique<MetricsFile>(folder_ / kMetrics);
  take_up();
  events_ =
      std::make_unique<TensorBoardFile>(folder_, checkpoints_->last() ? step_ + 1 : int64_t{0});
  write_status("running", "");
}

RunFolder::~RunFolder() = default;

void RunFolder::check_can_begin(const fs::path& folder) {
  check(!fs::exists(folder) || (fs::is_directory(folder) && never_began(folder)),
        "{}: the folder is not empty; name a new one, or --resume the run in it", folder.string());
}

void RunFolder::claim(bool resume) {
  if (!resume) {
    check_can_begin(folder_);
    fs::create_directories(folder_);
    lock_ = std::make_unique<Lock>(folder_);
    return write_file(folder_ / kConfig, config_.text);
  }
  check(fs::is_regular_file(folder_ / kConfig), "{}: there is no run to resume ({} is missing)",
        folder_.string(), kConfig);
  lock_ = std::make_unique<Lock>(folder_);
  check(read_file(folder_ / kConfig) == config_.text,
        "{}: the run has another config.toml; resume it with the same settings", folder_.string());
}

// What the metric was at a checkpoint.
std::optional<double> RunFolder::value_at(const fs::path& checkpoint) const {
  const double value = Fields(checkpoint / kState).get("metric", kNone);
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

// Goes back to the last checkpoint, or to the start.
void RunFolder::take_up() {
  uint64_t lines = 0;
  if (const auto last = checkpoints_->last()) {
    const Fields saved(*last / kState);
    step_ = saved.get("step", int64_t{0});
    state_ = saved.get("state", json());
    lines = saved.get("metric_lines", uint64_t{0});
    latest_ = value_at(*last);
    if (const auto best = checkpoints_->best()) best_ = value_at(*best);
    if (is_better()) {  // killed before it was marked
      checkpoints_->mark_best(*last);
      best_ = latest_;
    }
  }
  metrics_->keep(lines);
}

void RunFolder::log(int64_t step, std::span<const Metric> values, std::span<const Metric> passing) {
  metrics_->append(step, values);
  std::vector<Metric> all(values.begin(), values.end());
  all.insert(all.end(), passing.begin(), passing.end());
  events_->append(step, all);
  for (const auto& [name, value] : values) {
    if (name == config_.metric) latest_ = value, measured_ = step;
  }
}

bool RunFolder::is_better() const {
  if (!latest_ || !std::isfinite(*latest_)) return false;
  return !best_ || better(*latest_, *best_, config_.maximise);
}

void RunFolder::checkpoint(int64_t step, const json& state,
                           const std::function<void(const fs::path& folder)>& write) {
  if (measured_ != step) latest_.reset();  // that of an earlier model
  json saved = {{"step", step}, {"state", state}, {"metric_lines", metrics_->count()}};
  if (latest_ && std::isfinite(*latest_)) saved["metric"] = *latest_;
  const auto write_state = [&](const fs::path& folder) {
    write_file(folder / kState, saved.dump(1) + "\n");
  };
  if (const auto last = checkpoints_->last(); last && step == step_) {
    write_state(*last);
    if (is_better()) checkpoints_->mark_best(*last);
  } else {
    checkpoints_->save(step, is_better(), [&](const fs::path& folder) {
      write(folder);
      write_state(folder);
    });
  }
  if (is_better()) best_ = latest_;
  step_ = step;
  state_ = state;
}

void RunFolder::write_status(const std::string& status, const std::string& message) const {
  const json value = {{"status", status},
                      {"message", message},
                      {"total_steps", config_.total_steps},
                      {"metric", config_.metric},
                      {"maximise", config_.maximise}};
  write_file(folder_ / kStatus, value.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

void RunFolder::end(const std::string& status, const std::string& message) {
  write_status(status, message);
}

void RunFolder::write_report(std::span<const ReportSample> samples) const {
  write_run_report(folder_ / "report.html", folder_.filename().string(), config_.text,
                   read_metrics(folder_ / kMetrics), samples);
}

bool is_run(const fs::path& folder) {
  return fs::is_regular_file(folder / kConfig) && fs::exists(folder / kMetrics);
}

RunSummary summarise_run(const fs::path& folder) {
  RunSummary run{.folder = folder, .status = "interrupted"};
  bool maximise = true;
  if (fs::exists(folder / kStatus)) {
    const Fields status(folder / kStatus);
    run.status = status.get("status", std::string());
    run.message = status.get("message", std::string());
    run.total_steps = status.get("total_steps", int64_t{0});
    run.metric = status.get("metric", std::string());
    maximise = status.get("maximise", true);
  }
  if (run.status == "running" && !is_in_use(folder)) run.status = "interrupted";
  for (const MetricLine& line : read_metrics(folder / kMetrics)) {
    run.step = line.step;
    for (const auto& [name, value] : line.values) {
      const auto known = std::ranges::find(run.last, name, &Metric::first);
      if (known == run.last.end()) {
        run.last.emplace_back(name, value);
      } else {
        known->second = value;
      }
      if (name != run.metric || (run.best && !better(value, *run.best, maximise))) continue;
      run.best = value;
      run.best_step = line.step;
    }
  }
  return run;
}

std::vector<fs::path> find_runs(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::not_found, "{}: there is no such folder", folder.string());
  }
  if (is_run(folder)) return {folder};
  std::vector<fs::path> runs;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_run(entry.path())) runs.push_back(entry.path());
  }
  std::ranges::sort(runs);
  return runs;
}

}  // namespace ocelli
