// report.html of a run.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "ocelli/train/metrics.h"
#include "ocelli/train/run.h"

namespace ocelli {

// One file, nothing loaded from elsewhere, written atomically.
void write_run_report(const std::filesystem::path& file, const std::string& title,
                      const std::string& config, std::vector<MetricLine> lines,
                      std::span<const ReportSample> samples);

}  // namespace ocelli
