// The views of self-supervised training: DINO's multi-crop (arXiv 2104.14294, 2304.07193) and the
// block masks of BEiT and iBOT (arXiv 2106.08254, 2111.07832).
// https://github.com/facebookresearch/dinov2/tree/main/dinov2/data
#pragma once

#include "ocelli/data/augment.h"

namespace ocelli {

// Two global views and local ones, each cropped (bicubic), flipped, jittered (p = 0.8), made grey
// (p = 0.2) and blurred. The first global view is always blurred, the second with p = 0.1 and
// solarized with p = 0.2, local ones blurred with p = 0.5: BYOL's and DINO's. (The code of DINOv2
// blurs with 1 - p, its GaussianBlur hands RandomApply the complement.)
struct MultiCrop {
  int64_t global_crops_size = 224, local_crops_size = 96;
  Range global_crops_scale = {0.32, 1.0}, local_crops_scale = {0.05, 0.32};
  int64_t local_crops_number = 8;
  double blur = 1;  // how often, of as often as DINO does: every first global view, ...

  Transform global_view(int which) const;  // 0 or 1
  Transform local_view() const;
};

// Masks of patches in blocks. Of a batch, mask_probability of the images get one; their shares of
// masked patches go up evenly within `ratio`, and the images are in random order.
struct BlockMasks {
  int64_t height = 16, width = 16;  // of an image, in patches
  double mask_probability = 0.5;
  Range ratio = {0.1, 0.5};
  int64_t min_num_patches = 4, max_num_patches = 0;  // of a block; 0: half of the patches
  double min_aspect = 0.3;                           // of a block; the largest is its inverse

  // u8 [height * width], 1 where masked; up to num_masking_patches, fewer where no block fits.
  std::vector<uint8_t> sample(int64_t num_masking_patches, Rng& rng) const;
  // u8 [images, height * width].
  Tensor sample_batch(int64_t images, Rng& rng) const;

 private:
  int64_t add_block(std::vector<uint8_t>& mask, int64_t most, Rng& rng) const;
};

}  // namespace ocelli
