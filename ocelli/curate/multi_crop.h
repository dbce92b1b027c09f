// The views of an image that DINOv2 learns from: random crops, resized.
// Oquab et al., arXiv 2304.07193, section 4; the ranges are those of its ViT-L recipe.
#pragma once

#include <cstdint>
#include <vector>

#include "ocelli/image/image.h"

namespace ocelli {

struct MultiCrop {
  int64_t global_crops = 2, global_size = 224;
  double global_low = 0.32, global_high = 1;  // of the area
  int64_t local_crops = 8, local_size = 98;
  double local_low = 0.05, local_high = 0.32;
};

// Global views, then local ones; aspects from 3/4 to 4/3, half of them mirrored, as in
// torchvision's RandomResizedCrop and RandomHorizontalFlip.
std::vector<Image> multi_crop(const Image& image, uint64_t seed, const MultiCrop& options = {});

}  // namespace ocelli
