// A page that shows classified images; one file, nothing loaded from elsewhere.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ocelli/engine/classify.h"

namespace ocelli {

struct ReportItem {
  std::string path;
  std::vector<Prediction> predictions;
  std::string error;  // instead of predictions
};

// Written to a temporary name and renamed.
void write_html_report(const std::string& path, const std::string& model,
                       std::span<const ReportItem> items);

}  // namespace ocelli
