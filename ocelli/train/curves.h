// Curves over steps, as a picture and as SVG.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ocelli/image/canvas.h"
#include "ocelli/train/metrics.h"

namespace ocelli {

struct Curve {
  std::string name;
  std::vector<Point> points = {};  // step, value
};

struct Chart {
  std::string title;
  std::vector<Curve> curves = {};
  bool logarithmic = false;  // values; those of 0 and below are left out
};

// A chart a metric, in the order in which the metrics appear, with a curve a run. `names` chooses
// metrics; none: all. Throws invalid_argument for a name that no run has, with the nearest.
struct NamedRun {
  std::string name;
  std::vector<MetricLine> lines = {};
};
std::vector<Chart> charts_of(std::span<const NamedRun> runs, std::span<const std::string> names);

// Charts below each other. Throws invalid_argument when there is nothing to draw.
Image draw_charts(std::span<const Chart> charts);
// One <svg>, which takes its colours from the page.
std::string svg(const Chart& chart);

}  // namespace ocelli
