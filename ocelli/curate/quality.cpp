#include "ocelli/curate/quality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string_view>
#include <vector>

#include "ocelli/curate/text_cover.h"
#include "ocelli/image/resize.h"

namespace ocelli {
namespace {

constexpr int64_t kLongestMeasured = 512;

Image reduced(const Image& image) {
  const double scale = static_cast<double>(kLongestMeasured) /
                       static_cast<double>(std::max(image.height(), image.width()));
  if (scale >= 1) return image;
  const auto side = [&](int64_t n) {
    return std::max<int64_t>(std::lround(static_cast<double>(n) * scale), 1);
  };
  return resize(image, side(image.height()), side(image.width()), Filter::bilinear);
}

// Variance of the 4-neighbour Laplacian. Pech-Pacheco et al., "Diatom autofocusing in brightfield
// microscopy" (2000).
double laplacian_variance(const std::vector<double>& grey, int64_t height, int64_t width) {
  double sum = 0, square = 0;
  int64_t n = 0;
  for (int64_t y = 1; y + 1 < height; ++y) {
    for (int64_t x = 1; x + 1 < width; ++x, ++n) {
      const double* p = grey.data() + y * width + x;
      const double v = p[-1] + p[1] + p[-width] + p[width] - 4 * p[0];
      sum += v;
      square += v * v;
    }
  }
  if (n == 0) return 0;
  const double mean = sum / static_cast<double>(n);
  return square / static_cast<double>(n) - mean * mean;
}

std::string_view expected_format(std::string extension) {
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return std::tolower(c); });
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kFormats = {
      {{".jpg", "jpeg"},
       {".jpeg", "jpeg"},
       {".jpe", "jpeg"},
       {".png", "png"},
       {".webp", "webp"},
       {".gif", "gif"},
       {".bmp", "bmp"},
       {".tif", "tiff"},
       {".tiff", "tiff"},
       {".pnm", "pnm"},
       {".ppm", "pnm"},
       {".pgm", "pnm"},
       {".pbm", "pnm"}}};
  for (const auto& [name, format] : kFormats) {
    if (extension == name) return format;
  }
  return "";
}

// More than one graphic control extension in a GIF, an animation chunk in a PNG or WebP.
bool is_animated(std::string_view bytes, std::string_view format) {
  if (format == "png") return bytes.substr(0, 4096).find("acTL") != bytes.npos;
  if (format == "webp") return bytes.substr(0, 64).find("ANIM") != bytes.npos;
  if (format != "gif") return false;
  constexpr std::string_view kControl("\x21\xf9\x04", 3);
  const size_t first = bytes.find(kControl);
  return first != bytes.npos && bytes.find(kControl, first + 1) != bytes.npos;
}

}  // namespace

double QualityMeasures::aspect() const {
  return static_cast<double>(std::max(width, height)) /
         static_cast<double>(std::max<int64_t>(std::min(width, height), 1));
}

QualityMeasures measure_quality(const Image& image) {
  QualityMeasures m{.width = image.width(), .height = image.height()};
  const Image small = reduced(image);
  const auto n = static_cast<size_t>(small.height() * small.width());
  std::vector<double> grey(n);
  std::vector<uint8_t> levels(n);
  std::array<int64_t, 256> histogram{};
  std::vector<int64_t> colours(16 * 16 * 16);
  const uint8_t* p = small.data();
  double sum = 0, square = 0;
  for (size_t i = 0; i < n; ++i, p += 3) {
    grey[i] = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    sum += grey[i];
    square += grey[i] * grey[i];
    levels[i] = static_cast<uint8_t>(grey[i]);
    ++histogram[levels[i]];
    ++colours[(p[0] >> 4) * 256 + (p[1] >> 4) * 16 + (p[2] >> 4)];
  }
  const auto count = static_cast<double>(n);
  m.brightness = sum / count / 255;
  m.contrast = std::sqrt(std::max(square / count - sum / count * (sum / count), 0.0)) / 255;
  for (const int64_t h : histogram) {
    const double share = static_cast<double>(h) / count;
    if (h > 0) m.entropy -= share * std::log2(share);
  }
  m.solid = static_cast<double>(*std::ranges::max_element(colours)) / count;
  m.text = text_cover(levels, small.height(), small.width());
  m.sharpness = laplacian_variance(grey, small.height(), small.width());
  return m;
}

std::string quality_complaint(const QualityMeasures& m, const QualityLimits& limits) {
  if (std::min(m.width, m.height) < limits.min_side) {
    return fmt::format("small: {} x {} pixels", m.width, m.height);
  }
  if (m.aspect() > limits.max_aspect) return fmt::format("odd aspect: {:.2g} to 1", m.aspect());
  if (m.solid > limits.max_solid) {
    return fmt::format("near-solid: {:.0f} % of one colour", 100 * m.solid);
  }
  if (m.text > limits.max_text) return fmt::format("text: {:.0f} % of it", 100 * m.text);
  if (m.brightness < limits.min_brightness) return fmt::format("dark: mean {:.3f}", m.brightness);
  if (m.brightness > limits.max_brightness) return fmt::format("bright: mean {:.3f}", m.brightness);
  if (m.contrast < limits.min_contrast) return fmt::format("flat: contrast {:.3f}", m.contrast);
  if (m.entropy < limits.min_entropy) return fmt::format("bare: {:.2f} bits", m.entropy);
  if (m.sharpness < limits.min_sharpness) {
    return fmt::format("blurred: sharpness {:.1f}", m.sharpness);
  }
  return "";
}

std::string file_complaint(const std::string& path, std::span<const std::byte> bytes) {
  if (bytes.empty()) return "empty";
  const std::string format = image_format(bytes);
  if (format.empty()) return "no image";
  const auto expected = expected_format(std::filesystem::path(path).extension().string());
  if (!expected.empty() && expected != format) return "wrong extension: " + format;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return is_animated(text, format) ? "animated" : "";
}

}  // namespace ocelli
