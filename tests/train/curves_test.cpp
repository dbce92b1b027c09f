#include "ocelli/train/curves.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ocelli/base/error.h"
#include "tests/support.h"

namespace ocelli {
namespace {

NamedRun run(const std::string& name, int64_t steps, double start) {
  NamedRun run{.name = name};
  for (int64_t step = 1; step <= steps; ++step) {
    run.lines.push_back({step, {{"loss", start / static_cast<double>(step)}, {"lr", 0.1}}});
  }
  return run;
}

int64_t pixels_of(const Image& image, Color c) {
  int64_t count = 0;
  for (int64_t i = 0; i < image.height() * image.width(); ++i) {
    const uint8_t* p = image.data() + 3 * i;
    count += p[0] == c.red && p[1] == c.green && p[2] == c.blue;
  }
  return count;
}

TEST(Curves, AChartAMetricAndACurveARun) {
  const NamedRun runs[] = {run("a", 50, 3), run("b", 30, 1)};
  const auto charts = charts_of(runs, {});
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0].title, "loss");
  ASSERT_EQ(charts[0].curves.size(), 2u);
  EXPECT_EQ(charts[0].curves[1].points.back().x, 30);
  const Image image = draw_charts(charts);
  EXPECT_EQ(image.height(), 720);
  // A curve that falls over the whole chart and a level one, each in its colour.
  EXPECT_GT(pixels_of(image, {47, 124, 118}), 500);
  EXPECT_GT(pixels_of(image, {214, 126, 44}), 300);
}

TEST(Curves, NameTheNearestMetric) {
  const NamedRun runs[] = {run("a", 3, 1), {.name = "empty", .lines = {}}};
  const std::string wrong[] = {"los"};
  EXPECT_EQ(complaint([&] { charts_of(runs, wrong); }),
            "there is no metric 'los'; did you mean loss?");
  EXPECT_EQ(complaint([&] { charts_of(std::span(runs).last(1), wrong); }),
            "there is no metric 'los'; nothing was measured yet");
  EXPECT_NE(complaint([&] { draw_charts({}); }), "");
}

TEST(Curves, LeaveOutWhatCannotBeDrawn) {
  const double inf = std::numeric_limits<double>::infinity();
  Chart chart{.title = "loss",
              .curves = {{"a", {{1, 0}, {2, -1}, {3, inf}, {4, 10}, {5, 1000}}}},
              .logarithmic = true};
  const std::string drawn = svg(chart);
  const size_t at = drawn.find("points=\"");
  ASSERT_NE(at, drawn.npos);
  EXPECT_EQ(std::ranges::count(drawn.substr(at, drawn.find('"', at + 8) - at), ','), 2);
  chart.curves[0].points = {{1, 0}};
  EXPECT_EQ(complaint([&] { svg(chart); }), "loss: there is no value that can be drawn");
}

TEST(Curves, ManyPointsKeepTheirPeaks) {
  Chart chart{.title = "loss", .curves = {{"a", {}}}};
  for (int i = 0; i < 100'000; ++i) {
    chart.curves[0].points.push_back({static_cast<double>(i), i == 54'321 ? 9.0 : 1.0});
  }
  const std::string drawn = svg(chart);
  EXPECT_LT(drawn.size(), 60'000u);
  EXPECT_NE(drawn.find(",40.0 "), std::string::npos);  // the top of the chart
}

}  // namespace
}  // namespace ocelli
