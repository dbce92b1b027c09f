#include "ocelli/data/mixup.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ocelli/data/random.h"

namespace ocelli {
namespace {

// A square (in the image's aspect) of 1 - lam of the area about a random centre, clipped.
Window random_box(int64_t height, int64_t width, double lam, Rng& rng) {
  const double side = std::sqrt(1.0 - lam);
  const auto h = static_cast<int64_t>(static_cast<double>(height) * side);
  const auto w = static_cast<int64_t>(static_cast<double>(width) * side);
  const int64_t y = random_index(rng, height), x = random_index(rng, width);
  const int64_t top = std::max<int64_t>(y - h / 2, 0), left = std::max<int64_t>(x - w / 2, 0);
  return {top, left, std::min(y + (h + 1) / 2, height) - top,
          std::min(x + (w + 1) / 2, width) - left};
}

// From two unmixed images into one of them.
void mix_into(float* into, const float* own, const float* other, const Shape& shape,
              const Mixup::Mix& mix) {
  const int64_t width = shape[2], values = shape[1] * width * 3;
  if (!mix.box) {
    const auto lam = static_cast<float>(mix.lam), rest = static_cast<float>(1.0 - mix.lam);
    for (int64_t i = 0; i < values; ++i) into[i] = own[i] * lam + other[i] * rest;
    return;
  }
  const Window& box = *mix.box;
  for (int64_t y = box.top; y < box.top + box.height; ++y) {
    const int64_t at = (y * width + box.left) * 3;
    std::copy_n(other + at, box.width * 3, into + at);
  }
}

}  // namespace

Mixup::Mix Mixup::sample_one(int64_t height, int64_t width, Rng& rng) const {
  if (!chance(rng, prob)) return {};
  const bool cut = cutmix_alpha > 0 && (mixup_alpha <= 0 || chance(rng, switch_prob));
  const double alpha = cut ? cutmix_alpha : mixup_alpha;
  Mix mix{beta(rng, alpha, alpha), {}};
  if (cut) {
    mix.box = random_box(height, width, mix.lam, rng);
    mix.lam = 1.0 - static_cast<double>(mix.box->height * mix.box->width) /
                        static_cast<double>(height * width);
  }
  return mix;
}

std::vector<Mixup::Mix> Mixup::sample(int64_t batch, int64_t height, int64_t width,
                                      Rng& rng) const {
  check(mixup_alpha > 0 || cutmix_alpha > 0,
        "mixup: one of mixup_alpha {} and cutmix_alpha {} must be positive", mixup_alpha,
        cutmix_alpha);
  std::vector<Mix> mixes(static_cast<size_t>(batch));
  if (mode == Mode::batch) {
    std::ranges::fill(mixes, sample_one(height, width, rng));
  } else {
    for (Mix& mix : mixes) mix = sample_one(height, width, rng);
  }
  return mixes;
}

void Mixup::apply(const Tensor& images, const std::vector<Mix>& mixes) const {
  const int64_t batch = images.size(0), values = images.numel() / std::max<int64_t>(batch, 1);
  float* all = images.data<float>();
  std::vector<float> first(static_cast<size_t>(values)), second(first);
  for (int64_t i = 0; i < (batch + 1) / 2; ++i) {
    const int64_t j = batch - 1 - i;
    std::copy_n(all + i * values, values, first.data());
    std::copy_n(all + j * values, values, second.data());
    mix_into(all + i * values, first.data(), second.data(), images.shape(), mixes[i]);
    mix_into(all + j * values, second.data(), first.data(), images.shape(), mixes[j]);
  }
}

Tensor Mixup::targets(const Tensor& labels, const std::vector<Mix>& mixes, int64_t classes) const {
  const int64_t batch = labels.size(0);
  const auto low = static_cast<float>(label_smoothing / static_cast<double>(classes));
  const float high = static_cast<float>(1.0 - label_smoothing) + low;
  const Tensor soft = Tensor::full({batch, classes}, low);
  const auto label = labels.values<int32_t>();
  for (const int32_t l : label) {
    check(l >= 0 && l < classes, "mixup: the label {} is outside the {} classes", l, classes);
  }
  for (int64_t i = 0; i < batch; ++i) {
    // y lam + y' (1 - lam); both are `low` but at the two labels.
    const auto lam = static_cast<float>(mixes[i].lam);
    float* row = soft.data<float>() + i * classes;
    row[label[i]] += (high - low) * lam;
    row[label[batch - 1 - i]] += (high - low) * (1.0f - lam);
  }
  return soft;
}

}  // namespace ocelli
