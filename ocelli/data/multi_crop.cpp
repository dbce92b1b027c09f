#include "ocelli/data/multi_crop.h"

#include <algorithm>
#include <cmath>

#include "ocelli/data/random.h"

namespace ocelli {
namespace {

Transform view(int64_t size, Range scale, double blur, double solarize) {
  return compose(
      {RandomResizedCrop{
           .height = size, .width = size, .scale = scale, .interpolation = Filter::bicubic},
       RandomHorizontalFlip{},
       ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1, .p = 0.8},
       RandomGrayscale{.p = 0.2}, GaussianBlur{.kernel_size = 9, .p = blur},
       RandomSolarize{.threshold = 128, .p = solarize}});
}

}  // namespace

Transform MultiCrop::global_view(int which) const {
  return view(global_crops_size, global_crops_scale, blur * (which == 0 ? 1.0 : 0.1),
              which == 0 ? 0.0 : 0.2);
}

Transform MultiCrop::local_view() const {
  return view(local_crops_size, local_crops_scale, blur * 0.5, 0.0);
}

// Ten tries for a block that adds between 1 and `most` patches; how many it added.
int64_t BlockMasks::add_block(std::vector<uint8_t>& mask, int64_t most, Rng& rng) const {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area =
        uniform(rng, static_cast<double>(min_num_patches), static_cast<double>(most));
    const double aspect = std::exp(uniform(rng, std::log(min_aspect), -std::log(min_aspect)));
    const int64_t h = std::lrint(std::sqrt(area * aspect)),
                  w = std::lrint(std::sqrt(area / aspect));
    if (w >= width || h >= height) continue;
    const int64_t top = random_index(rng, height - h + 1), left = random_index(rng, width - w + 1);
    int64_t added = h * w;
    for (int64_t y = top; y < top + h; ++y) {
      added -= std::count(&mask[y * width + left], &mask[y * width + left] + w, 1);
    }
    if (added <= 0 || added > most) continue;
    for (int64_t y = top; y < top + h; ++y) std::fill_n(&mask[y * width + left], w, 1);
    return added;
  }
  return 0;
}

std::vector<uint8_t> BlockMasks::sample(int64_t num_masking_patches, Rng& rng) const {
  const int64_t largest = max_num_patches > 0 ? max_num_patches : height * width / 2;
  std::vector<uint8_t> mask(static_cast<size_t>(height * width));
  for (int64_t count = 0; count < num_masking_patches;) {
    const int64_t added = add_block(mask, std::min(num_masking_patches - count, largest), rng);
    if (added == 0) break;
    count += added;
  }
  return mask;
}

Tensor BlockMasks::sample_batch(int64_t images, Rng& rng) const {
  const int64_t patches = height * width;
  const auto masked = static_cast<int64_t>(static_cast<double>(images) * mask_probability);
  const Tensor masks = Tensor::zeros({images, patches}, DType::u8);
  const std::vector<int64_t> order = random_permutation(rng, images);
  const double step = (ratio[1] - ratio[0]) / static_cast<double>(std::max<int64_t>(masked, 1));
  for (int64_t i = 0; i < masked; ++i) {
    const double least = ratio[0] + step * static_cast<double>(i);
    const double share = uniform(rng, least, least + step);
    const auto mask = sample(static_cast<int64_t>(static_cast<double>(patches) * share), rng);
    std::ranges::copy(mask, masks.data<uint8_t>() + order[i] * patches);
  }
  return masks;
}

}  // namespace ocelli
