#include "ocelli/train/curves.h"

#include <algorithm>
#include <cmath>

#include "ocelli/base/error.h"
#include "ocelli/base/nearest_name.h"
#include "ocelli/image/page.h"

namespace ocelli {
namespace {

constexpr Color kPaper = {255, 255, 255}, kInk = {29, 36, 48}, kSoft = {104, 112, 125};
constexpr Color kGrid = {228, 230, 234};
constexpr Color kColours[] = {{47, 124, 118}, {214, 126, 44}, {74, 96, 168},
                              {180, 68, 47},  {128, 84, 150}, {110, 120, 60}};
constexpr int64_t kWidth = 900, kHeight = 360;  // of one chart
constexpr int64_t kLeft = 84, kRight = 24, kTop = 40, kBottom = 44;

Color colour_of(size_t curve) {
  return kColours[curve % std::size(kColours)];
}

std::string hex(Color c) {
  return fmt::format("#{:02x}{:02x}{:02x}", c.red, c.green, c.blue);
}

// 1, 2 or 5 times a power of ten, so that a range has about `count` of them.
double nice_step(double range, int count) {
  const double raw = range / count, power = std::pow(10, std::floor(std::log10(raw)));
  const double lead = raw / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<double> ticks = {};

  // 0 to 1 along the axis.
  double place(double value) const {
    if (logarithmic) return std::log(value / low) / std::log(high / low);
    return (value - low) / (high - low);
  }
};

Axis linear_axis(double low, double high, int count) {
  if (low == high) {
    const double around = low == 0 ? 1 : std::abs(low) / 2;
    low -= around;
    high += around;
  }
  Axis axis{.low = low, .high = high};
  const double step = nice_step(high - low, count);
  for (double i = std::ceil(low / step); i * step <= high + step * 1e-9; ++i) {
    axis.ticks.push_back(i == 0 ? 0 : i * step);
  }
  return axis;
}

// Ticks at 1, 2 and 5 of each decade, or at decades where there are many.
Axis logarithmic_axis(double low, double high) {
  if (low == high) {
    low /= 2;
    high *= 2;
  }
  Axis axis{.low = low, .high = high, .logarithmic = true};
  const bool many = high / low > 1e4;
  for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10) {
    for (const double lead : {1.0, 2.0, 5.0}) {
      const double tick = lead * power;
      if (tick >= low && tick <= high && (lead == 1 || !many)) axis.ticks.push_back(tick);
    }
  }
  return axis;
}

struct Frame {
  Axis x, y;
  int64_t top = 0;  // of the chart in the picture

  Point at(Point p) const {
    return {
        kLeft + x.place(p.x) * (kWidth - kLeft - kRight),
        static_cast<double>(top + kHeight - kBottom) - y.place(p.y) * (kHeight - kTop - kBottom)};
  }
};

// What can be drawn: finite, and above 0 for logarithms.
std::vector<Point> drawable(const Curve& curve, bool logarithmic) {
  std::vector<Point> points;
  for (const Point& p : curve.points) {
    if (std::isfinite(p.y) && (!logarithmic || p.y > 0)) points.push_back(p);
  }
  return points;
}

Frame frame_of(const Chart& chart, int64_t top) {
  std::vector<double> steps, values;
  for (const Curve& curve : chart.curves) {
    for (const Point& p : drawable(curve, chart.logarithmic)) {
      steps.push_back(p.x);
      values.push_back(p.y);
    }
  }
  check(!values.empty(), "{}: there is no value that can be drawn", chart.title);
  const auto [first, last] = std::ranges::minmax(steps);
  const auto [low, high] = std::ranges::minmax(values);
  return {.x = linear_axis(first, last, 8),
          .y = chart.logarithmic ? logarithmic_axis(low, high) : linear_axis(low, high, 5),
          .top = top};
}

// Of many points in one column of pixels, the lowest and the highest, in their order.
std::vector<Point> thinned(std::vector<Point> points) {
  std::vector<Point> kept;
  for (size_t i = 0; i < points.size();) {
    size_t end = i + 1;
    while (end < points.size() && std::floor(points[end].x) == std::floor(points[i].x)) ++end;
    const auto [low, high] = std::minmax_element(
        points.begin() + static_cast<int64_t>(i), points.begin() + static_cast<int64_t>(end),
        [](const Point& a, const Point& b) { return a.y < b.y; });
    kept.push_back(*std::min(low, high));
    if (low != high) kept.push_back(*std::max(low, high));
    i = end;
  }
  return kept;
}

std::vector<Point> path_of(const Curve& curve, const Chart& chart, const Frame& frame) {
  std::vector<Point> points = drawable(curve, chart.logarithmic);
  for (Point& p : points) p = frame.at(p);
  return thinned(std::move(points));
}

class Painter {
 public:
  explicit Painter(std::span<const Chart> charts)
      : charts_(charts), canvas_(static_cast<int64_t>(charts.size()) * kHeight, kWidth, kPaper) {}

  Image operator()() {
    for (size_t i = 0; i < charts_.size(); ++i) draw(charts_[i], static_cast<int64_t>(i) * kHeight);
    return canvas_.image();
  }

 private:
  void draw(const Chart& chart, int64_t top) {
    const Frame frame = frame_of(chart, top);
    draw_axes(frame);
    canvas_.text(title_, title_.shortened(chart.title, kWidth / 2), kLeft, top + kTop - 14, kInk);
    draw_legend(chart, top);
    for (size_t c = 0; c < chart.curves.size(); ++c) {
      const auto path = path_of(chart.curves[c], chart, frame);
      if (path.size() == 1) canvas_.line(path[0], path[0], 6, colour_of(c));
      for (size_t i = 1; i < path.size(); ++i) {
        canvas_.line(path[i - 1], path[i], 1.8, colour_of(c));
      }
    }
  }

  void draw_axes(const Frame& frame) {
    const int64_t bottom = frame.top + kHeight - kBottom;
    for (const double tick : frame.y.ticks) {
      const auto y = static_cast<int64_t>(frame.at({frame.x.low, tick}).y);
      canvas_.fill({kLeft, y, kWidth - kLeft - kRight, 1}, kGrid);
      const std::string text = fmt::format("{:.6g}", tick);
      canvas_.text(font_, text, kLeft - 8 - font_.width(text), y + font_.ascent() / 2 - 1, kSoft);
    }
    for (const double tick : frame.x.ticks) {
      const auto x = static_cast<int64_t>(frame.at({tick, frame.y.low}).x);
      canvas_.fill({x, bottom, 1, 5}, kSoft);
      const std::string text = fmt::format("{:.10g}", tick);
      canvas_.text(font_, text, x - font_.width(text) / 2, bottom + 8 + font_.ascent(), kSoft);
    }
    canvas_.fill({kLeft, bottom, kWidth - kLeft - kRight, 1}, kSoft);
  }

  // From the right, as many names as there is room for.
  void draw_legend(const Chart& chart, int64_t top) {
    int64_t right = kWidth - kRight;
    for (size_t c = chart.curves.size(); c-- > 0;) {
      const std::string name = font_.shortened(chart.curves[c].name, 160);
      right -= font_.width(name);
      if (right < kWidth / 2) return;
      canvas_.text(font_, name, right, top + kTop - 15, kSoft);
      canvas_.fill({right - 22, top + kTop - 21, 16, 3}, colour_of(c));
      right -= 40;
    }
  }

  std::span<const Chart> charts_;
  const Font title_{15}, font_{12};
  Canvas canvas_;
};

std::string svg_text(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", x, y, anchor,
                     page::escape(text));
}

}  // namespace

std::vector<Chart> charts_of(std::span<const NamedRun> runs, std::span<const std::string> names) {
  std::vector<std::string> known;
  for (const NamedRun& run : runs) {
    for (const MetricLine& line : run.lines) {
      for (const auto& [name, value] : line.values) {
        if (std::ranges::find(known, name) == known.end()) known.push_back(name);
      }
    }
  }
  for (const std::string& name : names) {
    check(std::ranges::find(known, name) != known.end(), "there is no metric '{}'; {}", name,
          known.empty() ? "nothing was measured yet"
                        : fmt::format("did you mean {}?", nearest_name(name, known)));
  }
  std::vector<Chart> charts;
  for (const std::string& name : names.empty() ? std::span<const std::string>(known) : names) {
    Chart chart{.title = name};
    for (const NamedRun& run : runs) {
      Curve curve{.name = run.name};
      for (const MetricLine& line : run.lines) {
        const auto value = std::ranges::find(line.values, name, &Metric::first);
        if (value == line.values.end()) continue;
        curve.points.push_back({static_cast<double>(line.step), value->second});
      }
      if (!curve.points.empty()) chart.curves.push_back(std::move(curve));
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

Image draw_charts(std::span<const Chart> charts) {
  check(!charts.empty(), "there is nothing to draw: no metrics were measured yet");
  check(charts.size() <= 100, "{} charts are too many for one picture; choose metrics",
        charts.size());
  return Painter(charts)();
}

std::string svg(const Chart& chart) {
  const Frame frame = frame_of(chart, 0);
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
                                kWidth, kHeight, page::escape(chart.title));
  for (const double tick : frame.y.ticks) {
    const double y = frame.at({frame.x.low, tick}).y;
    out += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/>", kLeft, y, kWidth - kRight);
    out += svg_text(kLeft - 8, y + 4, "end", fmt::format("{:.6g}", tick));
  }
  for (const double tick : frame.x.ticks) {
    const double x = frame.at({tick, frame.y.low}).x;
    out += svg_text(x, kHeight - kBottom + 20, "middle", fmt::format("{:.10g}", tick));
  }
  for (size_t c = 0; c < chart.curves.size(); ++c) {
    std::string points;
    for (const Point& p : path_of(chart.curves[c], chart, frame)) {
      points += fmt::format("{:.1f},{:.1f} ", p.x, p.y);
    }
    out += fmt::format("<polyline fill=\"none\" stroke=\"{}\" points=\"{}\"/>", hex(colour_of(c)),
                       points);
  }
  return out + "</svg>\n";
}

}  // namespace ocelli
