#include "ocelli/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "ocelli/image/resize_kernels.h"

namespace ocelli {
namespace {

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

struct Kernel {
  double support;
  double (*weight)(double);
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::box: return {0.5, [](double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }};
    case Filter::bilinear: return {1.0, [](double x) { return std::max(1.0 - std::abs(x), 0.0); }};
    case Filter::hamming:
      return {1.0, [](double x) {
                x = std::abs(x);
                if (x == 0.0) return 1.0;
                if (x >= 1.0) return 0.0;
                x *= std::numbers::pi;
                return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
              }};
    case Filter::bicubic:
      return {2.0, [](double x) {
                constexpr double a = -0.5;
                x = std::abs(x);
                if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
                if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
                return 0.0;
              }};
    case Filter::lanczos:
      return {3.0, [](double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }};
    case Filter::nearest: break;
  }
  return {0, nullptr};
}

// Taps of the outputs [begin, end).
ResizeTaps taps_of(int64_t in, int64_t out, Filter filter, int64_t begin, int64_t end) {
  const Kernel kernel = kernel_of(filter);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0), support = kernel.support * stretch;
  const double inverse = 1.0 / stretch;
  ResizeTaps taps;
  taps.stride = (static_cast<int64_t>(std::ceil(support)) * 2 + 1 + 3) / 4 * 4;
  taps.weights.resize(static_cast<size_t>((end - begin) * taps.stride));
  std::vector<double> weights;
  for (int64_t i = begin; i < end; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int last = std::min(static_cast<int>(centre + support + 0.5), static_cast<int>(in));
    weights.clear();
    double sum = 0;
    for (int k = 0; k < last - first; ++k) {
      weights.push_back(kernel.weight((k + first - centre + 0.5) * inverse));
      sum += weights.back();
    }
    taps.first.push_back(first);
    taps.count.push_back(last - first);
    int32_t* into = taps.weights.data() + (i - begin) * taps.stride;
    for (double w : weights) {
      if (sum != 0.0) w /= sum;
      *into++ = static_cast<int32_t>((w < 0 ? -0.5 : 0.5) + w * (1 << kResizePlaces));
    }
  }
  return taps;
}

// Rows of RGB pixels.
struct Pixels {
  const uint8_t* data;
  int64_t height, width;

  const uint8_t* row(int64_t y) const { return data + y * width * 3; }
};

// Rows [top, top + height) of `in`, resized across.
Tensor pass_across(const Pixels& in, int64_t top, int64_t height, const ResizeTaps& taps,
                   const ResizeKernels& kernels) {
  const Tensor out = Tensor::empty({height, taps.size(), 3}, DType::u8);
  // Kernels read up to 16 bytes beyond the end of a row, so that the rows that end less than that
  // before the end of the image move to larger memory: more than the last when rows are short.
  constexpr int64_t kBeyond = 16;
  const int64_t length = in.width * 3, moved = std::min(in.height, 1 + (kBeyond - 1) / length);
  std::vector<uint8_t> tail(static_cast<size_t>(moved * length + kBeyond));
  for (int64_t i = 0; i < moved; ++i) {
    std::memcpy(tail.data() + i * length, in.row(in.height - moved + i),
                static_cast<size_t>(length));
  }
  const auto row = [&](int64_t y) {
    const int64_t i = y - (in.height - moved);
    return i >= 0 ? tail.data() + i * length : in.row(y);
  };
  for (int64_t y = 0; y < height; y += kernels.rows) {
    const uint8_t* from[4];
    uint8_t* into[4];
    for (int r = 0; r < kernels.rows; ++r) {
      const int64_t at = std::min(y + r, height - 1);
      from[r] = row(top + at);
      into[r] = out.data<uint8_t>() + at * taps.size() * 3;
    }
    kernels.across(from, taps, into);
  }
  return out;
}

// Columns [left, left + width) of `in`, whose first row is row `top` of the taps, resized down.
Tensor pass_down(const Pixels& in, int64_t top, int64_t left, int64_t width, const ResizeTaps& taps,
                 const ResizeKernels& kernels) {
  const Tensor out = Tensor::empty({taps.size(), width, 3}, DType::u8);
  std::vector<const uint8_t*> under;
  for (int64_t y = 0; y < taps.size(); ++y) {
    const auto n = static_cast<size_t>(y);
    under.clear();
    for (int k = 0; k < (taps.count[n] + 3) / 4 * 4; ++k) {
      const int row = taps.first[n] + std::min(k, taps.count[n] - 1);
      under.push_back(in.row(row - top) + left * 3);
    }
    kernels.down(under.data(), taps, y, width * 3, out.data<uint8_t>() + y * width * 3);
  }
  return out;
}

// Pillow 13 goes down first where that saves much; before, it always went across first.
// https://github.com/python-pillow/Pillow/pull/9549
bool down_first(const Image& image, int64_t height, int64_t width) {
  return height < image.height() && image.height() - height > 2 * (image.width() - width);
}

Tensor part_of(const Image& image, const Window& w) {
  const Tensor out = Tensor::empty({w.height, w.width, 3}, DType::u8);
  for (int64_t y = 0; y < w.height; ++y) {
    std::memcpy(out.data<uint8_t>() + y * w.width * 3,
                image.data() + ((w.top + y) * image.width() + w.left) * 3,
                static_cast<size_t>(w.width) * 3);
  }
  return out;
}

// Positions add up as Pillow's do, with its rounding.
std::vector<int64_t> nearest_of(int64_t in, int64_t out, int64_t begin, int64_t count) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  double at = scale * 0.5;
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < begin + count; ++i, at += scale) {
    if (i >= begin) positions.push_back(std::min(static_cast<int64_t>(at), in - 1));
  }
  return positions;
}

Tensor nearest(const Image& image, int64_t height, int64_t width, const Window& w) {
  const Tensor out = Tensor::empty({w.height, w.width, 3}, DType::u8);
  uint8_t* into = out.data<uint8_t>();
  const auto columns = nearest_of(image.width(), width, w.left, w.width);
  for (const int64_t y : nearest_of(image.height(), height, w.top, w.height)) {
    const uint8_t* row = image.data() + y * image.width() * 3;
    for (const int64_t x : columns) {
      std::memcpy(into, row + x * 3, 3);
      into += 3;
    }
  }
  return out;
}

}  // namespace

Filter parse_filter(std::string_view name) {
  if (name == "nearest") return Filter::nearest;
  if (name == "lanczos") return Filter::lanczos;
  if (name == "bilinear") return Filter::bilinear;
  if (name == "bicubic" || name == "random") return Filter::bicubic;
  if (name == "box") return Filter::box;
  if (name == "hamming") return Filter::hamming;
  fail(ErrorCode::invalid_argument,
       "unknown resampling filter '{}'; one of nearest, box, bilinear, hamming, bicubic, lanczos",
       name);
}

Tensor resize_window(const Image& image, int64_t height, int64_t width, Filter filter,
                     const Window& window) {
  return resize_window(image, height, width, filter, window, resize_kernels().back());
}

Tensor resize_window(const Image& image, int64_t height, int64_t width, Filter filter,
                     const Window& w, const ResizeKernels& kernels) {
  check(height > 0 && width > 0 && height < (1 << 24) && width < (1 << 24),
        "resize: to {} x {} pixels", width, height);
  check(w.top >= 0 && w.left >= 0 && w.height > 0 && w.width > 0 && w.top + w.height <= height &&
            w.left + w.width <= width,
        "resize: the window {} + {}, {} + {} leaves an image of {} x {}", w.left, w.width, w.top,
        w.height, width, height);
  if (filter == Filter::nearest) return nearest(image, height, width, w);
  const bool goes_across = width != image.width(), goes_down = height != image.height();
  if (!goes_across && !goes_down) return part_of(image, w);

  ResizeTaps across, down;
  if (goes_across) {
    across = taps_of(image.width(), width, filter, w.left, w.left + w.width);
    kernels.pack(&across);
  }
  if (goes_down) {
    down = taps_of(image.height(), height, filter, w.top, w.top + w.height);
    kernels.pack(&down);
  }
  const Pixels all{image.data(), image.height(), image.width()};
  if (!goes_across) return pass_down(all, 0, w.left, w.width, down, kernels);
  if (!goes_down) return pass_across(all, w.top, w.height, across, kernels);
  if (down_first(image, height, width)) {
    const int32_t left = across.begin(), columns = across.end() - left;
    const Tensor middle = pass_down(all, 0, left, columns, down, kernels);
    for (int32_t& first : across.first) first -= left;
    return pass_across({middle.data<uint8_t>(), w.height, columns}, 0, w.height, across, kernels);
  }
  const int32_t top = down.begin(), rows = down.end() - top;
  const Tensor middle = pass_across(all, top, rows, across, kernels);
  return pass_down({middle.data<uint8_t>(), rows, w.width}, top, 0, w.width, down, kernels);
}

Image resize(const Image& image, int64_t height, int64_t width, Filter filter) {
  return {resize_window(image, height, width, filter, {0, 0, height, width}), image.format};
}

}  // namespace ocelli
