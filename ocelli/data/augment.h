// Random transforms of images: torchvision.transforms.v2's names, arguments, defaults and rules.
// Each is two steps: sample() draws parameters, apply() is a function of them alone; calling it
// does both. Nothing is kept between calls, so the threads of a loader share one transform.
// https://docs.pytorch.org/vision/stable/transforms.html
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/base/rng.h"
#include "ocelli/image/image.h"
#include "ocelli/image/resize.h"

namespace ocelli {

using Transform = std::function<Image(const Image&, Rng&)>;
// One after the other; without any, the image as it is.
Transform compose(std::vector<Transform> transforms);

using Range = std::array<double, 2>;  // [least, most]

// A part with `scale` of the area and an aspect in `ratio` (log-uniform), resized.
struct RandomResizedCrop {
  int64_t height = 224, width = 224;
  Range scale = {0.08, 1.0}, ratio = {3.0 / 4, 4.0 / 3};
  Filter interpolation = Filter::bilinear;

  Window sample(int64_t image_height, int64_t image_width, Rng& rng) const;
  Image apply(const Image& image, const Window& window) const;
  Image operator()(const Image& image, Rng& rng) const;
};

struct RandomHorizontalFlip {
  double p = 0.5;

  bool sample(Rng& rng) const;
  Image apply(const Image& image, bool flip) const;
  Image operator()(const Image& image, Rng& rng) const;
};

// The four adjustments in a random order. Strength b means factors in [max(0, 1 - b), 1 + b], hue
// h an angle in [-h, h], h <= 0.5; 0 leaves an adjustment out. p is RandomApply's around it.
struct ColorJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  double p = 1.0;

  enum class Adjustment { brightness, contrast, saturation, hue };
  struct Step {
    Adjustment adjustment;
    float factor;
  };
  std::vector<Step> sample(Rng& rng) const;
  Image apply(const Image& image, const std::vector<Step>& steps) const;
  Image operator()(const Image& image, Rng& rng) const;
};

struct RandomGrayscale {
  double p = 0.1;

  bool sample(Rng& rng) const;
  Image apply(const Image& image, bool grey) const;
  Image operator()(const Image& image, Rng& rng) const;
};

// sigma is uniform in its range. p is RandomApply's around it.
struct GaussianBlur {
  int64_t kernel_size = 9;
  Range sigma = {0.1, 2.0};
  double p = 1.0;

  std::optional<double> sample(Rng& rng) const;
  Image apply(const Image& image, std::optional<double> sigma) const;
  Image operator()(const Image& image, Rng& rng) const;
};

struct RandomSolarize {
  double threshold = 128, p = 0.5;

  bool sample(Rng& rng) const;
  Image apply(const Image& image, bool solarize) const;
  Image operator()(const Image& image, Rng& rng) const;
};

// One operation of RandAugment and TrivialAugmentWide. Positions are in pixels, angles in degrees.
struct AugmentOp {
  enum class Kind {
    identity,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    rotate,
    brightness,
    color,
    contrast,
    sharpness,
    posterize,
    solarize,
    auto_contrast,
    equalize
  };
  Kind kind = Kind::identity;
  double magnitude = 0;

  Image apply(const Image& image) const;
};

// num_ops operations of one magnitude each. arXiv 1909.13719
struct RandAugment {
  int num_ops = 2, magnitude = 9, num_magnitude_bins = 31;

  std::vector<AugmentOp> sample(int64_t height, int64_t width, Rng& rng) const;
  Image apply(const Image& image, const std::vector<AugmentOp>& ops) const;
  Image operator()(const Image& image, Rng& rng) const;
};

// One operation of a random magnitude in wide ranges. arXiv 2103.10158
struct TrivialAugmentWide {
  int num_magnitude_bins = 31;

  AugmentOp sample(Rng& rng) const;
  Image apply(const Image& image, const AugmentOp& op) const;
  Image operator()(const Image& image, Rng& rng) const;
};

// Overwrites a rectangle of the normalised image with `value` a channel or, without a value, with
// normal noise. arXiv 1708.04896
struct RandomErasing {
  double p = 0.5;
  Range scale = {0.02, 0.33}, ratio = {0.3, 3.3};
  std::optional<std::array<float, 3>> value = std::array<float, 3>{0, 0, 0};

  // Nothing when it does not happen, or when ten tries gave no rectangle within the image.
  std::optional<Window> sample(int64_t height, int64_t width, Rng& rng) const;
  // `pixels` are [height, width, 3], contiguous; `rng` makes the noise.
  void apply(float* pixels, int64_t width, const Window& window, Rng& rng) const;
};

}  // namespace ocelli
