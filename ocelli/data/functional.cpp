#include "ocelli/data/functional.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace ocelli::functional {
namespace {

Image blank(int64_t height, int64_t width, const std::string& format) {
  return {Tensor::empty({height, width, 3}, DType::u8), format};
}

Image like(const Image& image) {
  return blank(image.height(), image.width(), image.format);
}

uint8_t* bytes_of(const Image& image) {
  return image.pixels.data<uint8_t>();
}

// Each value of each channel through a table.
using Table = std::array<std::array<uint8_t, 256>, 3>;

Image through(const Image& image, const Table& table) {
  Image out = like(image);
  const uint8_t* from = image.data();
  uint8_t* into = bytes_of(out);
  for (int64_t i = 0; i < image.pixels.numel(); i += 3) {
    for (size_t c = 0; c < 3; ++c) into[i + c] = table[c][from[i + c]];
  }
  return out;
}

template <typename Value>
Image through_each(const Image& image, const Value& value) {
  Table table;
  for (int v = 0; v < 256; ++v) table[0][v] = table[1][v] = table[2][v] = value(v);
  return through(image, table);
}

using Histogram = std::array<int64_t, 256>;

std::array<Histogram, 3> histograms(const Image& image) {
  std::array<Histogram, 3> counts{};
  const uint8_t* from = image.data();
  for (int64_t i = 0; i < image.pixels.numel(); i += 3) {
    for (size_t c = 0; c < 3; ++c) ++counts[c][from[i + c]];
  }
  return counts;
}

// Image.blend: a + factor (b - a) in f32, cut to 8 bits.
uint8_t blend(int a, int b, float factor) {
  const float value = static_cast<float>(a) + factor * static_cast<float>(b - a);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

// Pillow's "L": ITU-R 601 in 16 binary places.
uint8_t luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

struct Hsv {
  uint8_t h, s, v;
};

// Python's colorsys.rgb_to_hsv with Pillow's types.
Hsv rgb_to_hsv(const uint8_t* rgb) {
  const int r = rgb[0], g = rgb[1], b = rgb[2];
  const int most = std::max({r, g, b}), least = std::min({r, g, b});
  if (most == least) return {0, 0, static_cast<uint8_t>(most)};
  const float range = static_cast<float>(most - least);
  const float red = static_cast<float>(most - r) / range;
  const float green = static_cast<float>(most - g) / range;
  const float blue = static_cast<float>(most - b) / range;
  float h = 0;
  if (r == most) {
    h = blue - green;
  } else if (g == most) {
    h = static_cast<float>(2.0 + red - blue);
  } else {
    h = static_cast<float>(4.0 + green - red);
  }
  const double turn = h / 6.0 + 1.0;  // in [5/6, 11/6]; its part behind the point
  h = static_cast<float>(turn >= 1.0 ? turn - 1.0 : turn);
  const float s = range / static_cast<float>(most);
  return {static_cast<uint8_t>(h * 255.0), static_cast<uint8_t>(s * 255.0),
          static_cast<uint8_t>(most)};
}

void hsv_to_rgb(const Hsv& hsv, uint8_t* rgb) {
  const double turn = static_cast<double>(hsv.h) * 6.0 / 255.0;
  const int sector = static_cast<int>(turn);
  const float f = static_cast<float>(turn - sector), s = static_cast<float>(hsv.s / 255.0);
  const auto part = [&](double of) {
    return static_cast<uint8_t>(std::clamp(std::round(hsv.v * of), 0.0, 255.0));
  };
  const uint8_t v = hsv.v, p = part(1.0 - s), q = part(1.0 - static_cast<double>(s * f)),
                t = part(1.0 - s * (1.0 - f));
  const uint8_t sectors[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
  std::memcpy(rgb, sectors[sector % 6], 3);
}

int64_t reflected(int64_t i, int64_t size) {
  if (size == 1) return 0;
  i = std::abs(i) % (2 * size - 2);
  return i < size ? i : 2 * size - 2 - i;
}

// exp(-x^2) at kernel_size places from -lim to lim over sigma, normalised; torchvision's
// `lim` makes that exp(-n^2 / (2 sigma^2)).
std::vector<float> gaussian_kernel(int64_t kernel_size, double sigma) {
  std::vector<float> kernel;
  float sum = 0;
  for (int64_t i = 0; i < kernel_size; ++i) {
    const double x = static_cast<double>(i - kernel_size / 2) / sigma;
    kernel.push_back(static_cast<float>(std::exp(-0.5 * x * x)));
    sum += kernel.back();
  }
  for (float& k : kernel) k /= sum;
  return kernel;
}

}  // namespace

Image crop(const Image& image, const Window& w) {
  check(w.top >= 0 && w.left >= 0 && w.height > 0 && w.width > 0 &&
            w.top + w.height <= image.height() && w.left + w.width <= image.width(),
        "crop: {} x {} pixels at ({}, {}) leave an image of {} x {}", w.width, w.height, w.left,
        w.top, image.width(), image.height());
  Image out = blank(w.height, w.width, image.format);
  for (int64_t y = 0; y < w.height; ++y) {
    std::memcpy(bytes_of(out) + y * w.width * 3,
                image.data() + ((w.top + y) * image.width() + w.left) * 3,
                static_cast<size_t>(w.width) * 3);
  }
  return out;
}

Image resized_crop(const Image& image, const Window& window, int64_t height, int64_t width,
                   Filter interpolation) {
  return resize(crop(image, window), height, width, interpolation);
}

Image horizontal_flip(const Image& image) {
  Image out = like(image);
  const int64_t width = image.width();
  for (int64_t y = 0; y < image.height(); ++y) {
    const uint8_t* from = image.data() + y * width * 3;
    uint8_t* into = bytes_of(out) + (y + 1) * width * 3;
    for (int64_t x = 0; x < width; ++x) std::memcpy(into -= 3, from + 3 * x, 3);
  }
  return out;
}

Image adjust_brightness(const Image& image, float factor) {
  return through_each(image, [&](int v) { return blend(0, v, factor); });
}

Image adjust_contrast(const Image& image, float factor) {
  int64_t sum = 0;
  const int64_t pixels = image.height() * image.width();
  for (int64_t i = 0; i < pixels; ++i) sum += luma(image.data() + 3 * i);
  const int mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5);
  return through_each(image, [&](int v) { return blend(mean, v, factor); });
}

Image adjust_saturation(const Image& image, float factor) {
  Image out = like(image);
  const uint8_t* from = image.data();
  uint8_t* into = bytes_of(out);
  for (int64_t i = 0; i < image.pixels.numel(); i += 3) {
    const int grey = luma(from + i);
    for (int c = 0; c < 3; ++c) into[i + c] = blend(grey, from[i + c], factor);
  }
  return out;
}

// The smoothed image is ImageFilter.SMOOTH: (1 1 1, 1 5 1, 1 1 1) / 13, the border as it is.
Image adjust_sharpness(const Image& image, float factor) {
  Image out = {Tensor::from<uint8_t>(image.pixels.values<uint8_t>(), image.pixels.shape()),
               image.format};
  const int64_t row = image.width() * 3;
  constexpr float kOne = 1.0f / 13, kFive = 5.0f / 13;
  for (int64_t y = 1; y < image.height() - 1; ++y) {
    for (int64_t x = 3; x < row - 3; ++x) {
      const uint8_t* p = image.data() + y * row + x;
      const auto three = [](const uint8_t* at, float middle) {
        return static_cast<float>(at[-3]) * kOne + static_cast<float>(at[0]) * middle +
               static_cast<float>(at[3]) * kOne;
      };
      float sum = 0.5f;
      sum += three(p + row, kOne);
      sum += three(p, kFive);
      sum += three(p - row, kOne);
      bytes_of(out)[y * row + x] = blend(static_cast<int>(std::min(sum, 255.0f)), *p, factor);
    }
  }
  return out;
}

Image adjust_hue(const Image& image, double hue_factor) {
  check(hue_factor >= -0.5 && hue_factor <= 0.5, "adjust_hue: hue_factor {} is not in [-0.5, 0.5]",
        hue_factor);
  const int turn = static_cast<int>(hue_factor * 255);
  Image out = like(image);
  for (int64_t i = 0; i < image.pixels.numel(); i += 3) {
    Hsv hsv = rgb_to_hsv(image.data() + i);
    hsv.h = static_cast<uint8_t>(hsv.h + turn);
    hsv_to_rgb(hsv, bytes_of(out) + i);
  }
  return out;
}

Image rgb_to_grayscale(const Image& image) {
  Image out = like(image);
  for (int64_t i = 0; i < image.pixels.numel(); i += 3) {
    std::memset(bytes_of(out) + i, luma(image.data() + i), 3);
  }
  return out;
}

Image gaussian_blur(const Image& image, int64_t kernel_size, double sigma) {
  check(kernel_size > 0 && kernel_size % 2 == 1 && sigma > 0,
        "gaussian_blur: kernel_size {} must be odd and sigma {} positive", kernel_size, sigma);
  const int64_t height = image.height(), width = image.width(), half = kernel_size / 2;
  const std::vector<float> kernel = gaussian_kernel(kernel_size, sigma);
  Image out = like(image);
  std::vector<float> column(static_cast<size_t>((width + 2 * half) * 3));  // blurred down
  std::vector<float> sums(static_cast<size_t>(width * 3));
  for (int64_t y = 0; y < height; ++y) {
    std::ranges::fill(column, 0.0f);
    for (int64_t k = 0; k < kernel_size; ++k) {
      const uint8_t* row = image.data() + reflected(y + k - half, height) * width * 3;
      float* into = column.data() + half * 3;
      for (int64_t i = 0; i < width * 3; ++i) into[i] += kernel[k] * static_cast<float>(row[i]);
    }
    for (int64_t x = 1; x <= half; ++x) {
      std::memcpy(&column[(half - x) * 3], &column[(half + reflected(-x, width)) * 3], 12);
      std::memcpy(&column[(half + width - 1 + x) * 3],
                  &column[(half + reflected(width - 1 + x, width)) * 3], 12);
    }
    std::ranges::fill(sums, 0.0f);
    for (int64_t k = 0; k < kernel_size; ++k) {
      const float* from = column.data() + k * 3;
      for (int64_t i = 0; i < width * 3; ++i) sums[i] += kernel[k] * from[i];
    }
    uint8_t* into = bytes_of(out) + y * width * 3;
    for (int64_t i = 0; i < width * 3; ++i) into[i] = static_cast<uint8_t>(std::lrintf(sums[i]));
  }
  return out;
}

Image invert(const Image& image) {
  return through_each(image, [](int v) { return static_cast<uint8_t>(255 - v); });
}

Image solarize(const Image& image, double threshold) {
  return through_each(image,
                      [&](int v) { return static_cast<uint8_t>(v < threshold ? v : 255 - v); });
}

Image posterize(const Image& image, int bits) {
  check(bits >= 1 && bits <= 8, "posterize: {} bits are not 1 to 8", bits);
  const int mask = 0xFF << (8 - bits);
  return through_each(image, [&](int v) { return static_cast<uint8_t>(v & mask); });
}

Image autocontrast(const Image& image) {
  Table table;
  const auto counts = histograms(image);
  for (size_t c = 0; c < 3; ++c) {
    int low = 0, high = 255;
    while (low < 255 && counts[c][low] == 0) ++low;
    while (high > 0 && counts[c][high] == 0) --high;
    const double scale = high > low ? 255.0 / (high - low) : 1.0;
    const double offset = high > low ? -low * scale : 0.0;
    for (int v = 0; v < 256; ++v) {
      table[c][v] = static_cast<uint8_t>(std::clamp(static_cast<int>(v * scale + offset), 0, 255));
    }
  }
  return through(image, table);
}

Image equalize(const Image& image) {
  Table table;
  const auto counts = histograms(image);
  const int64_t pixels = image.height() * image.width();
  for (size_t c = 0; c < 3; ++c) {
    int last = 255;
    while (last > 0 && counts[c][last] == 0) --last;
    const int64_t step = (pixels - counts[c][last]) / 255;
    int64_t n = step / 2;
    for (int v = 0; v < 256; ++v) {
      table[c][v] = static_cast<uint8_t>(step == 0 ? v : std::min<int64_t>(n / step, 255));
      n += counts[c][v];
    }
  }
  return through(image, table);
}

Image affine(const Image& image, const std::array<double, 6>& m) {
  const int64_t height = image.height(), width = image.width();
  check(height < (1 << 15) && width < (1 << 15), "affine: an image of {} x {} is too large", width,
        height);
  Image out = like(image);
  std::memset(bytes_of(out), 0, out.pixels.nbytes());
  // Pillow goes in 16 binary places, but not for an image that is only moved.
  const bool moved = m[1] == 0 && m[3] == 0;
  const auto fixed = [](double v) { return static_cast<int64_t>(std::floor(v * 65536.0 + 0.5)); };
  const int64_t x0 = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5);
  const int64_t y0 = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      int64_t from_x = (x0 + y * fixed(m[1]) + x * fixed(m[0])) >> 16;
      int64_t from_y = (y0 + y * fixed(m[4]) + x * fixed(m[3])) >> 16;
      if (moved) {
        from_x = static_cast<int64_t>(std::floor(m[2] + m[0] * (static_cast<double>(x) + 0.5)));
        from_y = static_cast<int64_t>(std::floor(m[5] + m[4] * (static_cast<double>(y) + 0.5)));
      }
      if (from_x < 0 || from_x >= width || from_y < 0 || from_y >= height) continue;
      std::memcpy(bytes_of(out) + (y * width + x) * 3, image.data() + (from_y * width + from_x) * 3,
                  3);
    }
  }
  return out;
}

std::array<double, 6> shear_matrix(double shear_x, double shear_y) {
  constexpr double kDegree = 3.14159265358979323846 / 180;
  const double tan_x = std::tan(shear_x * kDegree), sy = shear_y * kDegree;
  const double a = std::cos(-sy) / std::cos(sy), c = std::sin(-sy) / std::cos(sy);
  return {1.0 - c * tan_x, a * tan_x, 0, -c, a, 0};
}

std::array<double, 6> translate_matrix(double x, double y) {
  return {1, 0, -x, 0, 1, -y};
}

Image rotate(const Image& image, double angle) {
  const double turn = angle - 360.0 * std::floor(angle / 360.0);
  if (turn == 0) return image;
  const double radians = -turn * 3.14159265358979323846 / 180;
  const auto places = [](double v) { return std::round(v * 1e15) / 1e15; };
  const double cos = places(std::cos(radians)), sin = places(std::sin(radians));
  const double x = static_cast<double>(image.width()) / 2;
  const double y = static_cast<double>(image.height()) / 2;
  return affine(image, {cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y});
}

}  // namespace ocelli::functional
