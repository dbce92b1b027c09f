#include "ocelli/engine/heat_map.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ocelli/engine/thumbnail.h"
#include "ocelli/image/canvas.h"
#include "ocelli/image/encode.h"

namespace ocelli {
namespace {

constexpr Color kPaper = {255, 255, 255}, kInk = {29, 36, 48}, kSoft = {104, 112, 125};
// From the least to the most alike.
constexpr Color kRamp[] = {
    {242, 245, 240}, {186, 221, 209}, {111, 180, 167}, {47, 124, 118}, {13, 66, 78}};
constexpr int64_t kMargin = 24, kGap = 8;
constexpr size_t kWideColumns = 12, kTallRows = 60, kHeaderLines = 7;

Color ramp(double share) {
  const double at = std::clamp(share, 0.0, 1.0) * (std::size(kRamp) - 1);
  const auto i = std::min(static_cast<size_t>(at), std::size(kRamp) - 2);
  const auto mix = [&](uint8_t a, uint8_t b) {
    return static_cast<uint8_t>(std::lround(a + (b - a) * (at - static_cast<double>(i))));
  };
  const Color &a = kRamp[i], &b = kRamp[i + 1];
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

Color ink_on(Color c) {
  return 0.299 * c.red + 0.587 * c.green + 0.114 * c.blue > 118 ? kInk : kPaper;
}

class Painter {
 public:
  explicit Painter(const HeatMap& map)
      : map_(map), rows_(map.match.images.size()), columns_(map.match.texts.size()) {
    const auto values = map.values.values<float>();
    if (!map.from_zero_to_one && !values.empty()) {
      const auto [low, high] = std::ranges::minmax_element(values);
      low_ = *low;
      high_ = std::max(*high, *low + 1e-6f);
    }
    cell_height_ = rows_ <= kTallRows ? 88 : 30;
    cell_width_ = columns_ <= kWideColumns ? 128 : 56;
    label_width_ = cell_height_ + 168;
    measure_header();
    left_ = kMargin + label_width_;
    top_ = kMargin + header_height_;
  }

  Image operator()() {
    const int64_t width = left_ + std::max<int64_t>(columns_ * cell_width_, kLegend) + kMargin;
    const int64_t height = top_ + rows_ * cell_height_ + kGap * 3 + 56 + kMargin;
    check(width * height <= kLargestHeatMap,
          "a heat map of {} images and {} texts is too large to draw; write a table instead (CSV)",
          rows_, columns_);
    canvas_ = std::make_unique<Canvas>(height, width, kPaper);
    for (size_t t = 0; t < columns_; ++t) draw_header(t);
    for (size_t i = 0; i < rows_; ++i) {
      throw_if_cancelled();
      draw_row(i);
    }
    draw_legend(top_ + rows_ * cell_height_ + kGap * 3);
    return canvas_->image();
  }

 private:
  static constexpr int64_t kLegend = 300;

  // Few texts stand upright above their columns, many are turned.
  bool upright() const { return columns_ <= kWideColumns; }

  void measure_header() {
    int64_t longest = 0;
    for (const std::string& text : map_.match.texts) {
      const auto lines = font_.wrapped(text, cell_width_ - kGap, kHeaderLines);
      headers_.push_back(upright() ? lines : std::vector{font_.shortened(text, 320)});
      longest = std::max(
          longest, upright() ? static_cast<int64_t>(headers_.back().size()) * font_.line_height()
                             : font_.width(headers_.back()[0]));
    }
    header_height_ = longest + 2 * kGap;
  }

  void draw_header(size_t t) {
    const int64_t left = left_ + static_cast<int64_t>(t) * cell_width_, bottom = top_ - kGap;
    if (!upright()) {
      const int64_t middle = left + (cell_width_ + font_.ascent()) / 2 - 2;
      return canvas_->text(font_, headers_[t][0], middle, bottom, kInk, Direction::up);
    }
    int64_t y = bottom - static_cast<int64_t>(headers_[t].size()) * font_.line_height();
    for (const std::string& line : headers_[t]) {
      const int64_t x = left + (cell_width_ - font_.width(line)) / 2;
      canvas_->text(font_, line, x, y + font_.ascent(), kInk);
      y += font_.line_height();
    }
  }

  void draw_row(size_t i) {
    const int64_t top = top_ + static_cast<int64_t>(i) * cell_height_;
    const std::string& path = map_.match.images[i];
    const int64_t side = cell_height_ - kGap;
    const Image small = thumbnail(path, side, side, map_.decode);
    canvas_->picture(small, kMargin + (side - small.width()) / 2,
                     top + (cell_height_ - small.height()) / 2);
    const int64_t x = kMargin + cell_height_ + kGap / 2;
    canvas_->text(
        font_, font_.shortened(std::filesystem::path(path).filename().string(), left_ - x - kGap),
        x, baseline(top), kInk);
    const auto values = map_.values.select(0, static_cast<int64_t>(i)).values<float>();
    const auto best = std::ranges::max_element(values) - values.begin();
    for (int64_t t = 0; t < static_cast<int64_t>(columns_); ++t) {
      draw_cell({left_ + t * cell_width_, top, cell_width_ - 2, cell_height_ - 2}, values[t],
                t == best);
    }
  }

  // Where text stands in the middle of a row.
  int64_t baseline(int64_t top) const { return top + (cell_height_ + font_.ascent()) / 2 - 3; }

  void draw_cell(const Rectangle& cell, float value, bool best) {
    const Color color = ramp((value - low_) / (high_ - low_));
    canvas_->fill(cell, color);
    if (best) canvas_->frame(cell, 3, kBest);
    const std::string text = fmt::format("{:.3f}", value);
    canvas_->text(font_, text, cell.left + (cell.width - font_.width(text)) / 2, baseline(cell.top),
                  ink_on(color));
  }

  void draw_legend(int64_t top) {
    constexpr int64_t kBar = 14;
    for (int64_t x = 0; x < kLegend; ++x) {
      canvas_->fill({left_ + x, top, 1, kBar}, ramp(static_cast<double>(x) / (kLegend - 1)));
    }
    const int64_t y = top + kBar + 4 + small_.ascent();
    for (int tick = 0; tick <= 4; ++tick) {
      const std::string text = fmt::format("{:.2f}", low_ + (high_ - low_) * tick / 4);
      const int64_t x = left_ + kLegend * tick / 4 - small_.width(text) * tick / 4;
      canvas_->text(small_, text, x, y, kSoft);
    }
    const std::string note = map_.quantity + "; framed: the best text of an image";
    canvas_->text(small_, note, left_, y + small_.line_height() + 6, kSoft);
  }

  static constexpr Color kBest = {214, 126, 44};

  const HeatMap& map_;
  const size_t rows_, columns_;
  const Font font_{14}, small_{12};
  float low_ = 0, high_ = 1;
  int64_t cell_width_ = 0, cell_height_ = 0, label_width_ = 0, header_height_ = 0;
  int64_t left_ = 0, top_ = 0;  // of the first cell
  std::vector<std::vector<std::string>> headers_;
  std::unique_ptr<Canvas> canvas_;
};

}  // namespace

void write_heat_map(const std::string& path, const HeatMap& map) {
  write_png(path, Painter(map)());
}

}  // namespace ocelli
