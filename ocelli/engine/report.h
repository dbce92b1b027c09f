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

// Written atomically. `decode` is for the thumbnails.
void write_html_report(const std::string& path, const std::string& model,
                       std::span<const ReportItem> items, const DecodeOptions& decode = {});

}  // namespace ocelli
