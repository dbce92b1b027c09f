#include "ocelli/curate/multi_crop.h"

#include <algorithm>
#include <cmath>

#include "ocelli/base/rng.h"
#include "ocelli/image/resize.h"

namespace ocelli {
namespace {

Image part(const Image& image, const Window& w, bool mirrored) {
  Image result{Tensor::empty({w.height, w.width, 3}, DType::u8), image.format};
  auto* to = result.pixels.data<uint8_t>();
  for (int64_t y = 0; y < w.height; ++y) {
    for (int64_t x = 0; x < w.width; ++x, to += 3) {
      const int64_t from = w.left + (mirrored ? w.width - 1 - x : x);
      std::copy_n(image.data() + ((w.top + y) * image.width() + from) * 3, 3, to);
    }
  }
  return result;
}

// Area and aspect are drawn until they fit, ten times; then the largest crop in the middle.
Window draw(Rng& rng, int64_t height, int64_t width, double low, double high) {
  const double area = static_cast<double>(height * width);
  for (int i = 0; i < 10; ++i) {
    const double target = area * (low + (high - low) * rng.uniform());
    const double aspect = std::exp(std::log(3.0 / 4) + 2 * std::log(4.0 / 3) * rng.uniform());
    const int64_t w = std::lround(std::sqrt(target * aspect));
    const int64_t h = std::lround(std::sqrt(target / aspect));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const auto place = [&](int64_t room) {
      return static_cast<int64_t>(rng.uniform() * static_cast<float>(room + 1));
    };
    const int64_t top = place(height - h);
    return {top, place(width - w), h, w};
  }
  const int64_t side = std::min(height, width);
  return {(height - side) / 2, (width - side) / 2, side, side};
}

}  // namespace

std::vector<Image> multi_crop(const Image& image, uint64_t seed, const MultiCrop& options) {
  Rng rng(seed);
  std::vector<Image> views;
  const auto add = [&](int64_t count, int64_t size, double low, double high) {
    for (int64_t i = 0; i < count; ++i) {
      const Window window = draw(rng, image.height(), image.width(), low, high);
      const bool mirrored = rng.uniform() < 0.5f;
      views.push_back(resize(part(image, window, mirrored), size, size, Filter::bicubic));
    }
  };
  add(options.global_crops, options.global_size, options.global_low, options.global_high);
  add(options.local_crops, options.local_size, options.local_low, options.local_high);
  return views;
}

}  // namespace ocelli
