// Convolution, pooling and resizing of [B, H, W, C] feature maps.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ocelli/backend/reference/reference.h"

namespace ocelli::backend {
namespace {

// Element offset of (b, h, w, c).
int64_t at(const View& v, int64_t b, int64_t h, int64_t w, int64_t c) {
  return b * v.strides[0] + h * v.strides[1] + w * v.strides[2] + c * v.strides[3];
}

// Calls f(b, i, j, c) over every output.
template <typename F>
void for_each_output(const View& y, const F& f) {
  for (int64_t b = 0; b < y.shape[0]; ++b) {
    for (int64_t i = 0; i < y.shape[1]; ++i) {
      for (int64_t j = 0; j < y.shape[2]; ++j) {
        for (int64_t c = 0; c < y.shape[3]; ++c) f(b, i, j, c);
      }
    }
  }
}

// Keys, "Cubic convolution interpolation for digital image processing", 1981.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

}  // namespace

// y[b,i,j,o] = bias[o] + sum_{r,s,c} x[b, i*stride - pad + r*dilation, ..., c] w[o, c, r, s]
void Reference::conv2d(const View& y, const View& x, const View& weight, const View* bias,
                       const Conv2d& p) const {
  const int64_t per_group = weight.shape[0] / p.groups, depth = weight.shape[1];
  for_each_output(y, [&](int64_t b, int64_t i, int64_t j, int64_t o) {
    double sum = bias ? bias->as<float>()[o * bias->strides[0]] : 0.0f;
    const int64_t first = o / per_group * depth;
    for (int64_t r = 0; r < weight.shape[2]; ++r) {
      for (int64_t s = 0; s < weight.shape[3]; ++s) {
        const int64_t h = i * p.stride[0] - p.padding[0] + r * p.dilation[0];
        const int64_t w = j * p.stride[1] - p.padding[1] + s * p.dilation[1];
        if (h < 0 || h >= x.shape[1] || w < 0 || w >= x.shape[2]) continue;
        for (int64_t c = 0; c < depth; ++c) {
          sum += double{x.as<float>()[at(x, b, h, w, first + c)]} *
                 weight.as<float>()[at(weight, o, c, r, s)];
        }
      }
    }
    y.as<float>()[at(y, b, i, j, o)] = static_cast<float>(sum);
  });
}

void Reference::pool2d(const View& y, const View& x, const Pool2d& p) const {
  for_each_output(y, [&](int64_t b, int64_t i, int64_t j, int64_t c) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    int64_t inside = 0, counted = 0;
    for (int64_t r = 0; r < p.kernel[0]; ++r) {
      for (int64_t s = 0; s < p.kernel[1]; ++s) {
        const int64_t h = i * p.stride[0] - p.padding[0] + r;
        const int64_t w = j * p.stride[1] - p.padding[1] + s;
        // With ceil mode a window may hang over the padding; what lies there does not count.
        counted += h < x.shape[1] + p.padding[2] && w < x.shape[2] + p.padding[3];
        if (h < 0 || h >= x.shape[1] || w < 0 || w >= x.shape[2]) continue;
        ++inside;
        const double value = x.as<float>()[at(x, b, h, w, c)];
        top = std::max(top, value);
        sum += value;
      }
    }
    const double divisor = static_cast<double>(p.count_include_pad ? counted : inside);
    y.as<float>()[at(y, b, i, j, c)] =
        static_cast<float>(p.kind == Pool::max ? top : sum / divisor);
  });
}

// The largest of a window, the first of equals, gets dy; of a mean each gets its share.
void Reference::pool2d_backward(const View& dx, const View& dy, const View& x,
                                const Pool2d& p) const {
  for_each_output(dx, [&](int64_t b, int64_t h, int64_t w, int64_t c) {
    dx.as<float>()[at(dx, b, h, w, c)] = 0;
  });
  for_each_output(dy, [&](int64_t b, int64_t i, int64_t j, int64_t c) {
    std::vector<int64_t> window;  // offsets in dx
    double top = -std::numeric_limits<double>::infinity();
    int64_t counted = 0;
    for (int64_t r = 0; r < p.kernel[0]; ++r) {
      for (int64_t s = 0; s < p.kernel[1]; ++s) {
        const int64_t h = i * p.stride[0] - p.padding[0] + r;
        const int64_t w = j * p.stride[1] - p.padding[1] + s;
        counted += h < x.shape[1] + p.padding[2] && w < x.shape[2] + p.padding[3];
        if (h < 0 || h >= x.shape[1] || w < 0 || w >= x.shape[2]) continue;
        const double value = x.as<float>()[at(x, b, h, w, c)];
        if (p.kind == Pool::max && value <= top) continue;
        if (p.kind == Pool::max) window.clear();
        top = value;
        window.push_back(at(dx, b, h, w, c));
      }
    }
    const int64_t shared = p.kind == Pool::max   ? 1
                           : p.count_include_pad ? counted
                                                 : static_cast<int64_t>(window.size());
    for (const int64_t offset : window) {
      dx.as<float>()[offset] += dy.as<float>()[at(dy, b, i, j, c)] / static_cast<float>(shared);
    }
  });
}

std::vector<Taps> resize_taps(int64_t in, int64_t out, const Resize& params, int axis) {
  double step = params.step[static_cast<size_t>(axis)];
  if (step == 0) step = static_cast<double>(in) / static_cast<double>(out);
  if (params.align_corners) {
    step = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
  }
  const bool bicubic = params.mode == Interpolation::bicubic;
  std::vector<Taps> taps(static_cast<size_t>(out));
  for (int64_t i = 0; i < out; ++i) {
    Taps& t = taps[static_cast<size_t>(i)];
    const double position = static_cast<double>(i);
    if (params.mode == Interpolation::nearest) {
      t.first = std::min(static_cast<int64_t>(std::floor(position * step)), in - 1);
      t.weights = {1};
    } else if (params.antialias) {
      // Pillow's rule: the kernel is stretched by the step when shrinking; weights sum to one.
      const double stretch = std::max(step, 1.0), support = (bicubic ? 2.0 : 1.0) * stretch;
      const double centre = step * (position + 0.5);
      const auto low = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
      const auto high = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in);
      t.first = low;
      double sum = 0;
      for (int64_t k = low; k < high; ++k) {
        const double x = (static_cast<double>(k) - centre + 0.5) / stretch;
        const double w = bicubic ? cubic(x, -0.5) : std::max(0.0, 1 - std::abs(x));
        t.weights.push_back(w);
        sum += w;
      }
      for (double& w : t.weights) w /= sum;
    } else {
      double source = params.align_corners ? position * step : (position + 0.5) * step - 0.5;
      if (!bicubic) source = std::max(source, 0.0);
      const double base = std::floor(source), part = source - base;
      t.first = static_cast<int64_t>(base);
      if (bicubic) {
        t.first -= 1;
        for (int k = -1; k <= 2; ++k) t.weights.push_back(cubic(part - k, -0.75));
      } else {
        t.weights = {1 - part, part};
      }
    }
  }
  return taps;
}

void Reference::resize(const View& y, const View& x, const Resize& params) const {
  const auto rows = resize_taps(x.shape[1], y.shape[1], params, 0);
  const auto cols = resize_taps(x.shape[2], y.shape[2], params, 1);
  for_each_output(y, [&](int64_t b, int64_t i, int64_t j, int64_t c) {
    const Taps &row = rows[static_cast<size_t>(i)], &col = cols[static_cast<size_t>(j)];
    double sum = 0;
    for (size_t r = 0; r < row.weights.size(); ++r) {
      const int64_t h = std::clamp<int64_t>(row.first + static_cast<int64_t>(r), 0, x.shape[1] - 1);
      for (size_t s = 0; s < col.weights.size(); ++s) {
        const int64_t w =
            std::clamp<int64_t>(col.first + static_cast<int64_t>(s), 0, x.shape[2] - 1);
        sum += row.weights[r] * col.weights[s] * x.as<float>()[at(x, b, h, w, c)];
      }
    }
    y.as<float>()[at(y, b, i, j, c)] = static_cast<float>(sum);
  });
}

}  // namespace ocelli::backend
