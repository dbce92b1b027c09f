// metrics.jsonl: what a run measures, a JSON object a line, {"step": 12, "loss": 0.5}.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ocelli/base/journal.h"

namespace ocelli {

using Metric = std::pair<std::string, double>;

struct MetricLine {
  int64_t step = 0;
  std::vector<Metric> values;  // in the order of the file
};

// Half a line at the end, which a kill left, is passed over. Throws not_found, or corrupt_data
// naming the line that is no object with a step.
std::vector<MetricLine> read_metrics(const std::filesystem::path& file);

// Appends. Steps must not fall; a value of NaN or infinity is written as null.
class MetricsFile {
 public:
  explicit MetricsFile(const std::filesystem::path& file);

  // Lines so far.
  size_t count() const { return count_; }
  // Cuts off all but the first `count` of the lines that were there at the start.
  void keep(size_t count);
  void append(int64_t step, std::span<const Metric> values);

 private:
  std::string name_;
  Journal journal_;
  size_t count_;
  int64_t last_step_ = 0;
};

}  // namespace ocelli
