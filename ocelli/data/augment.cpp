#include "ocelli/data/augment.h"

#include <algorithm>
#include <cmath>

#include "ocelli/data/functional.h"
#include "ocelli/data/random.h"

namespace ocelli {
namespace {

// Height and width of a part of `area` pixels whose ratio of `first` to `second` is log-uniform.
struct Sides {
  int64_t first, second;
};

Sides random_sides(double area, Range scale, Range ratio, Rng& rng) {
  const double part = area * uniform(rng, scale[0], scale[1]);
  const double aspect = std::exp(uniform(rng, std::log(ratio[0]), std::log(ratio[1])));
  return {std::lrint(std::sqrt(part * aspect)), std::lrint(std::sqrt(part / aspect))};
}

// The largest central part within the ratio.
Window central_part(int64_t height, int64_t width, Range ratio) {
  const double aspect = static_cast<double>(width) / static_cast<double>(height);
  int64_t h = height, w = width;
  if (aspect < ratio[0]) h = std::lrint(static_cast<double>(w) / ratio[0]);
  if (aspect > ratio[1]) w = std::lrint(static_cast<double>(h) * ratio[1]);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

}  // namespace

Transform compose(std::vector<Transform> transforms) {
  return [transforms = std::move(transforms)](const Image& image, Rng& rng) {
    Image out = image;
    for (const Transform& transform : transforms) out = transform(out, rng);
    return out;
  };
}

Window RandomResizedCrop::sample(int64_t image_height, int64_t image_width, Rng& rng) const {
  const double area = static_cast<double>(image_height) * static_cast<double>(image_width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto [w, h] = random_sides(area, scale, ratio, rng);
    if (w <= 0 || w > image_width || h <= 0 || h > image_height) continue;
    const int64_t top = random_index(rng, image_height - h + 1);
    return {top, random_index(rng, image_width - w + 1), h, w};
  }
  return central_part(image_height, image_width, ratio);
}

Image RandomResizedCrop::apply(const Image& image, const Window& window) const {
  return functional::resized_crop(image, window, height, width, interpolation);
}

Image RandomResizedCrop::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(image.height(), image.width(), rng));
}

bool RandomHorizontalFlip::sample(Rng& rng) const {
  return chance(rng, p);
}

Image RandomHorizontalFlip::apply(const Image& image, bool flip) const {
  return flip ? functional::horizontal_flip(image) : image;
}

Image RandomHorizontalFlip::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(rng));
}

std::vector<ColorJitter::Step> ColorJitter::sample(Rng& rng) const {
  const double strengths[] = {brightness, contrast, saturation, hue};
  std::vector<Step> steps;
  if (!chance(rng, p)) return steps;
  for (const int64_t i : random_permutation(rng, 4)) {
    const auto kind = static_cast<Adjustment>(i);
    const bool turns = kind == Adjustment::hue;
    const double strength = strengths[i], centre = turns ? 0 : 1;
    if (strength == 0) continue;
    const double least = turns ? -strength : std::max(0.0, centre - strength);
    steps.push_back({kind, static_cast<float>(uniform(rng, least, centre + strength))});
  }
  return steps;
}

Image ColorJitter::apply(const Image& image, const std::vector<Step>& steps) const {
  Image out = image;
  for (const auto& [adjustment, factor] : steps) {
    switch (adjustment) {
      case Adjustment::brightness: out = functional::adjust_brightness(out, factor); break;
      case Adjustment::contrast: out = functional::adjust_contrast(out, factor); break;
      case Adjustment::saturation: out = functional::adjust_saturation(out, factor); break;
      case Adjustment::hue: out = functional::adjust_hue(out, factor); break;
    }
  }
  return out;
}

Image ColorJitter::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(rng));
}

bool RandomGrayscale::sample(Rng& rng) const {
  return chance(rng, p);
}

Image RandomGrayscale::apply(const Image& image, bool grey) const {
  return grey ? functional::rgb_to_grayscale(image) : image;
}

Image RandomGrayscale::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(rng));
}

std::optional<double> GaussianBlur::sample(Rng& rng) const {
  if (!chance(rng, p)) return std::nullopt;
  return uniform(rng, sigma[0], sigma[1]);
}

Image GaussianBlur::apply(const Image& image, std::optional<double> width) const {
  return width ? functional::gaussian_blur(image, kernel_size, *width) : image;
}

Image GaussianBlur::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(rng));
}

bool RandomSolarize::sample(Rng& rng) const {
  return chance(rng, p);
}

Image RandomSolarize::apply(const Image& image, bool solarize) const {
  return solarize ? functional::solarize(image, threshold) : image;
}

Image RandomSolarize::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(rng));
}

std::optional<Window> RandomErasing::sample(int64_t height, int64_t width, Rng& rng) const {
  if (!chance(rng, p)) return std::nullopt;
  const double area = static_cast<double>(height) * static_cast<double>(width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto [h, w] = random_sides(area, scale, ratio, rng);
    if (h >= height || w >= width) continue;
    const int64_t top = random_index(rng, height - h + 1);
    return Window{top, random_index(rng, width - w + 1), h, w};
  }
  return std::nullopt;
}

void RandomErasing::apply(float* pixels, int64_t width, const Window& window, Rng& rng) const {
  for (int64_t y = window.top; y < window.top + window.height; ++y) {
    float* pixel = pixels + (y * width + window.left) * 3;
    for (int64_t i = 0; i < window.width * 3; ++i) {
      pixel[i] = value ? (*value)[static_cast<size_t>(i % 3)] : rng.normal();
    }
  }
}

}  // namespace ocelli
