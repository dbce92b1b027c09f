// RandAugment and TrivialAugmentWide, after torchvision's tables of operations.
#include <cmath>

#include "ocelli/data/augment.h"
#include "ocelli/data/functional.h"
#include "ocelli/data/random.h"

namespace ocelli {
namespace {

using Kind = AugmentOp::Kind;
constexpr int64_t kKinds = 14;

// The magnitude of an operation at its largest.
struct Space {
  double shear, translate_x, translate_y, rotate, colour;
  int posterize;  // bits that are dropped
};

double magnitude_of(Kind kind, const Space& space, int bin, int bins) {
  const double part = bins > 1 ? static_cast<double>(bin) / (bins - 1) : 0;
  switch (kind) {
    case Kind::shear_x:
    case Kind::shear_y: return space.shear * part;
    case Kind::translate_x: return space.translate_x * part;
    case Kind::translate_y: return space.translate_y * part;
    case Kind::rotate: return space.rotate * part;
    case Kind::brightness:
    case Kind::color:
    case Kind::contrast:
    case Kind::sharpness: return space.colour * part;
    case Kind::posterize: return std::nearbyint(8 - space.posterize * part);
    case Kind::solarize: return 1 - part;
    case Kind::identity:
    case Kind::auto_contrast:
    case Kind::equalize: return 0;
  }
  return 0;
}

bool is_signed(Kind kind) {
  return kind >= Kind::shear_x && kind <= Kind::sharpness;
}

AugmentOp with_sign(Kind kind, double magnitude, Rng& rng) {
  if (is_signed(kind) && chance(rng, 0.5)) magnitude = -magnitude;
  return {kind, magnitude};
}

Kind random_kind(Rng& rng) {
  return static_cast<Kind>(random_index(rng, kKinds));
}

}  // namespace

Image AugmentOp::apply(const Image& image) const {
  using namespace functional;
  constexpr double kDegrees = 180 / 3.14159265358979323846;
  const auto factor = static_cast<float>(1.0 + magnitude);
  switch (kind) {
    case Kind::identity: return image;
    case Kind::shear_x: return affine(image, shear_matrix(std::atan(magnitude) * kDegrees, 0));
    case Kind::shear_y: return affine(image, shear_matrix(0, std::atan(magnitude) * kDegrees));
    case Kind::translate_x: return affine(image, translate_matrix(std::trunc(magnitude), 0));
    case Kind::translate_y: return affine(image, translate_matrix(0, std::trunc(magnitude)));
    case Kind::rotate: return rotate(image, magnitude);
    case Kind::brightness: return adjust_brightness(image, factor);
    case Kind::color: return adjust_saturation(image, factor);
    case Kind::contrast: return adjust_contrast(image, factor);
    case Kind::sharpness: return adjust_sharpness(image, factor);
    case Kind::posterize: return posterize(image, static_cast<int>(magnitude));
    case Kind::solarize: return solarize(image, 255 * magnitude);
    case Kind::auto_contrast: return autocontrast(image);
    case Kind::equalize: return equalize(image);
  }
  return image;
}

std::vector<AugmentOp> RandAugment::sample(int64_t height, int64_t width, Rng& rng) const {
  check(magnitude >= 0 && magnitude < num_magnitude_bins,
        "RandAugment: magnitude {} is not one of {} bins", magnitude, num_magnitude_bins);
  const Space space{.shear = 0.3,
                    .translate_x = 150.0 / 331 * static_cast<double>(width),
                    .translate_y = 150.0 / 331 * static_cast<double>(height),
                    .rotate = 30,
                    .colour = 0.9,
                    .posterize = 4};
  std::vector<AugmentOp> ops;
  for (int i = 0; i < num_ops; ++i) {
    const Kind kind = random_kind(rng);
    ops.push_back(with_sign(kind, magnitude_of(kind, space, magnitude, num_magnitude_bins), rng));
  }
  return ops;
}

Image RandAugment::apply(const Image& image, const std::vector<AugmentOp>& ops) const {
  Image out = image;
  for (const AugmentOp& op : ops) out = op.apply(out);
  return out;
}

Image RandAugment::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(image.height(), image.width(), rng));
}

AugmentOp TrivialAugmentWide::sample(Rng& rng) const {
  const Space space{.shear = 0.99,
                    .translate_x = 32,
                    .translate_y = 32,
                    .rotate = 135,
                    .colour = 0.99,
                    .posterize = 6};
  const Kind kind = random_kind(rng);
  const auto bin = static_cast<int>(random_index(rng, num_magnitude_bins));
  return with_sign(kind, magnitude_of(kind, space, bin, num_magnitude_bins), rng);
}

Image TrivialAugmentWide::apply(const Image& image, const AugmentOp& op) const {
  return op.apply(image);
}

Image TrivialAugmentWide::operator()(const Image& image, Rng& rng) const {
  return apply(image, sample(rng));
}

}  // namespace ocelli
