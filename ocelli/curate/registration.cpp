#include "ocelli/curate/registration.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "ocelli/image/resize.h"

namespace ocelli {
namespace {

constexpr int64_t kLongest = 256;  // pixels of the first level
constexpr int64_t kRadius = 6;     // of the neighbourhood that is made even
constexpr float kNoise = 4;        // grey levels that are no pattern
constexpr int64_t kBlock = 16;     // pixels along a side

std::vector<float> grey(const Image& image) {
  std::vector<float> values(image.height() * image.width());
  const uint8_t* p = image.data();
  for (float& v : values) {
    v = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
    p += 3;
  }
  return values;
}

// Sums over rectangles in four look-ups.
class Integral {
 public:
  Integral(const std::vector<float>& values, int64_t height, int64_t width, bool squared)
      : width_(width + 1), sums_((height + 1) * (width + 1)) {
    for (int64_t y = 0; y < height; ++y) {
      double row = 0;
      for (int64_t x = 0; x < width; ++x) {
        const double v = values[y * width + x];
        row += squared ? v * v : v;
        sums_[(y + 1) * width_ + x + 1] = sums_[y * width_ + x + 1] + row;
      }
    }
  }
  double sum(int64_t top, int64_t left, int64_t bottom, int64_t right) const {
    return sums_[bottom * width_ + right] - sums_[top * width_ + right] -
           sums_[bottom * width_ + left] + sums_[top * width_ + left];
  }

 private:
  int64_t width_;
  std::vector<double> sums_;
};

GreyPyramid::Level even(const Image& image) {
  GreyPyramid::Level level{image.height(), image.width(), grey(image)};
  const Integral sums(level.values, level.height, level.width, false);
  const Integral squares(level.values, level.height, level.width, true);
  for (int64_t y = 0; y < level.height; ++y) {
    const int64_t top = std::max<int64_t>(y - kRadius, 0);
    const int64_t bottom = std::min(y + kRadius + 1, level.height);
    for (int64_t x = 0; x < level.width; ++x) {
      const int64_t left = std::max<int64_t>(x - kRadius, 0);
      const int64_t right = std::min(x + kRadius + 1, level.width);
      const auto count = static_cast<double>((bottom - top) * (right - left));
      const double mean = sums.sum(top, left, bottom, right) / count;
      const double variance = squares.sum(top, left, bottom, right) / count - mean * mean;
      float& v = level.values[y * level.width + x];
      v = (v - static_cast<float>(mean)) /
          (static_cast<float>(std::sqrt(std::max(variance, 0.0))) + kNoise);
      v = std::clamp(v, -3.0f, 3.0f);
    }
  }
  return level;
}

// Twice the length of the gradient, as a picture: the same for a picture and its negative.
Image edges(const Image& image) {
  const std::vector<float> values = grey(image);
  Image result{Tensor::zeros(image.pixels.shape(), DType::u8), image.format};
  auto* to = result.pixels.data<uint8_t>();
  const int64_t width = image.width();
  for (int64_t y = 1; y + 1 < image.height(); ++y) {
    for (int64_t x = 1; x + 1 < width; ++x) {
      const int64_t i = y * width + x;
      const float steep =
          std::hypot(values[i + 1] - values[i - 1], values[i + width] - values[i - width]);
      std::fill_n(to + 3 * i, 3, static_cast<uint8_t>(std::min(steep, 255.0f)));
    }
  }
  return result;
}

struct Sample {
  float value, dx, dy;
};

// Between pixels, whose centres are at n + 0.5; nothing outside.
std::optional<Sample> sample(const GreyPyramid::Level& level, double x, double y) {
  x -= 0.5;
  y -= 0.5;
  if (!(x >= 0 && y >= 0 && x < static_cast<double>(level.width - 1) &&
        y < static_cast<double>(level.height - 1))) {
    return std::nullopt;
  }
  const auto left = static_cast<int64_t>(x), top = static_cast<int64_t>(y);
  const auto fx = static_cast<float>(x - static_cast<double>(left));
  const auto fy = static_cast<float>(y - static_cast<double>(top));
  const float* p = level.values.data() + top * level.width + left;
  const float* q = p + level.width;
  const float above = p[0] + fx * (p[1] - p[0]), below = q[0] + fx * (q[1] - q[0]);
  return Sample{above + fy * (below - above), (1 - fy) * (p[1] - p[0]) + fy * (q[1] - q[0]),
                below - above};
}

// The level of `b` whose pixels are about as large in the scene as those of `a` on `level`.
int matching_level(const Affine& map, int level) {
  const double scale = std::sqrt(std::abs(map.determinant()));
  const int finer = static_cast<int>(std::lround(-std::log2(std::max(scale, 1e-3))));
  return std::clamp(level - finer, 0, GreyPyramid::kLevels - 1);
}

// x = A^-1 b for a symmetric positive definite A (Cholesky); false when it is none.
bool solve(std::array<std::array<double, 6>, 6>& a, std::array<double, 6>& b) {
  for (int j = 0; j < 6; ++j) {
    for (int k = 0; k < j; ++k) a[j][j] -= a[j][k] * a[j][k];
    if (!(a[j][j] > 1e-9)) return false;
    a[j][j] = std::sqrt(a[j][j]);
    for (int i = j + 1; i < 6; ++i) {
      for (int k = 0; k < j; ++k) a[i][j] -= a[i][k] * a[j][k];
      a[i][j] /= a[j][j];
    }
  }
  for (int i = 0; i < 6; ++i) {
    for (int k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (int i = 5; i >= 0; --i) {
    for (int k = i + 1; k < 6; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  return true;
}

// One step of Gauss-Newton on sum w (sign A(x) - B(W x))^2, w = 1 / (1 + r^2): what was pasted over
// one of the pictures pulls little. `map` goes between pixels of the levels.
bool step(const GreyPyramid::Level& a, const GreyPyramid::Level& b, float sign, Affine& map) {
  std::array<std::array<double, 6>, 6> hessian{};
  std::array<double, 6> gradient{};
  const double cx = static_cast<double>(a.width) / 2, cy = static_cast<double>(a.height) / 2;
  const double unit = 1 / std::max(cx, cy);
  for (int64_t y = 0; y < a.height; ++y) {
    for (int64_t x = 0; x < a.width; ++x) {
      const double px = static_cast<double>(x) + 0.5, py = static_cast<double>(y) + 0.5;
      const auto [qx, qy] = map(px, py);
      const auto s = sample(b, qx, qy);
      if (!s) continue;
      const float residual = sign * a.values[y * a.width + x] - s->value;
      const float weight = 1 / (1 + residual * residual);
      const auto ux = static_cast<float>((px - cx) * unit),
                 uy = static_cast<float>((py - cy) * unit);
      const float j[6] = {s->dx * ux, s->dx * uy, s->dx, s->dy * ux, s->dy * uy, s->dy};
      for (int i = 0; i < 6; ++i) {
        const float wj = weight * j[i];
        gradient[i] += wj * residual;
        for (int k = 0; k <= i; ++k) hessian[i][k] += wj * j[k];
      }
    }
  }
  for (int i = 0; i < 6; ++i) hessian[i][i] *= 1.001;
  if (!solve(hessian, gradient)) return false;
  // Back from centred, scaled coordinates.
  map.xx += gradient[0] * unit;
  map.xy += gradient[1] * unit;
  map.x0 += gradient[2] - unit * (gradient[0] * cx + gradient[1] * cy);
  map.yx += gradient[3] * unit;
  map.yy += gradient[4] * unit;
  map.y0 += gradient[5] - unit * (gradient[3] * cx + gradient[4] * cy);
  return true;
}

// Neither collapsed nor sheared beyond what rescaling to another aspect does.
bool is_sane(const Affine& map) {
  const double e = (map.xx + map.yy) / 2, f = (map.xx - map.yy) / 2;
  const double g = (map.yx + map.xy) / 2, h = (map.yx - map.xy) / 2;
  const double q = std::hypot(e, h), r = std::hypot(f, g);
  const double large = q + r, small = std::abs(q - r);
  return large < 6 && small > 1.0 / 6 && large < 2.2 * small;
}

struct Moments {
  double n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;

  void add(double x, double y) {
    n += 1;
    a += x;
    b += y;
    aa += x * x;
    bb += y * y;
    ab += x * y;
  }
  double variance_a() const { return aa / n - a / n * (a / n); }
  double variance_b() const { return bb / n - b / n * (b / n); }
  double correlation() const {
    const double product = variance_a() * variance_b();
    return product > 1e-9 ? (ab / n - a / n * (b / n)) / std::sqrt(product) : 0;
  }
};

struct Laid {
  const GreyPyramid::Level &a, &b;
  Affine map;  // between their pixels
};

float sign_of(Tones tones) {
  return tones == Tones::negative ? -1 : 1;
}

Laid lay(const GreyPyramid& a, const GreyPyramid& b, int level, const Affine& map, Tones tones) {
  const int other = matching_level(map, level);
  return {a.level(level, tones), b.level(other, tones),
          b.to_level(other) * map * a.to_level(level).inverse()};
}

void add_area(const Laid& laid, int64_t top, int64_t left, int64_t height, int64_t width,
              Moments& moments) {
  const int64_t bottom = std::min(top + height, laid.a.height);
  const int64_t right = std::min(left + width, laid.a.width);
  for (int64_t y = top; y < bottom; ++y) {
    for (int64_t x = left; x < right; ++x) {
      const auto [qx, qy] = laid.map(static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5);
      if (const auto s = sample(laid.b, qx, qy))
        moments.add(laid.a.values[y * laid.a.width + x], s->value);
    }
  }
}

}  // namespace

Affine Affine::inverse() const {
  const double d = 1 / determinant();
  Affine r{yy * d, -xy * d, 0, -yx * d, xx * d, 0};
  r.x0 = -(r.xx * x0 + r.xy * y0);
  r.y0 = -(r.yx * x0 + r.yy * y0);
  return r;
}

Affine operator*(const Affine& o, const Affine& i) {
  return {o.xx * i.xx + o.xy * i.yx, o.xx * i.xy + o.xy * i.yy, o.xx * i.x0 + o.xy * i.y0 + o.x0,
          o.yx * i.xx + o.yy * i.yx, o.yx * i.xy + o.yy * i.yy, o.yx * i.x0 + o.yy * i.y0 + o.y0};
}

GreyPyramid::GreyPyramid(const Image& image) {
  const double longest = static_cast<double>(std::max(image.height(), image.width()));
  Image steep;
  for (int i = 0; i < kLevels; ++i) {
    const double scale = static_cast<double>(kLongest >> i) / longest;
    const auto side = [&](int64_t n) {
      return std::max<int64_t>(std::lround(static_cast<double>(n) * scale), 4);
    };
    const auto smaller = [&](const Image& from) {
      return resize(from, side(image.height()), side(image.width()), Filter::bilinear);
    };
    const Image level = smaller(image);
    if (i == 0) steep = edges(level);
    levels_[i] = even(level);
    edges_[i] = even(smaller(steep));
  }
}

Affine GreyPyramid::to_level(int i) const {
  return {static_cast<double>(levels_[i].width) / width(),   0, 0, 0,
          static_cast<double>(levels_[i].height) / height(), 0};
}

bool refine(const GreyPyramid& a, const GreyPyramid& b, int level, Affine& map, Tones tones) {
  constexpr int kSteps[GreyPyramid::kLevels] = {3, 5, 8, 10};
  Laid laid = lay(a, b, level, map, tones);
  const int other = matching_level(map, level);
  for (int i = 0; i < kSteps[level]; ++i) {
    if (!step(laid.a, laid.b, sign_of(tones), laid.map) || !is_sane(laid.map)) return false;
  }
  map = b.to_level(other).inverse() * laid.map * a.to_level(level);
  return is_sane(map);
}

float correlation(const GreyPyramid& a, const GreyPyramid& b, int level, const Affine& map,
                  Tones tones) {
  const Laid laid = lay(a, b, level, map, tones);
  Moments moments;
  add_area(laid, 0, 0, laid.a.height, laid.a.width, moments);
  return moments.n >= 64 ? sign_of(tones) * static_cast<float>(moments.correlation()) : 0;
}

Agreement agreement(const GreyPyramid& a, const GreyPyramid& b, const Affine& map, Tones tones) {
  constexpr int kLevel = 1;
  constexpr double kPattern = 0.04;  // variance of a block that has one
  const Laid laid = lay(a, b, kLevel, map, tones);
  std::vector<double> blocks;
  double pixels = 0;
  for (int64_t top = 0; top < laid.a.height; top += kBlock) {
    for (int64_t left = 0; left < laid.a.width; left += kBlock) {
      Moments m;
      add_area(laid, top, left, kBlock, kBlock, m);
      pixels += m.n;
      if (m.n < kBlock * kBlock / 2) continue;
      if (std::max(m.variance_a(), m.variance_b()) > kPattern)
        blocks.push_back(sign_of(tones) * m.correlation());
    }
  }
  Agreement result;
  const double of_a = static_cast<double>(laid.a.height * laid.a.width);
  const double of_b =
      static_cast<double>(laid.b.height * laid.b.width) / std::abs(laid.map.determinant());
  result.overlap = static_cast<float>(std::min(pixels / std::min(of_a, of_b), 1.0));
  if (blocks.empty()) return result;
  const auto middle = blocks.begin() + static_cast<std::ptrdiff_t>(blocks.size() / 2);
  std::ranges::nth_element(blocks, middle);
  result.median = static_cast<float>(*middle);
  for (const double c : blocks) result.mean += static_cast<float>(c);
  result.blocks = static_cast<float>(blocks.size());
  result.mean /= result.blocks;
  return result;
}

}  // namespace ocelli
