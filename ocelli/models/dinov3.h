// DINOv3. Siméoni et al., arXiv 2508.10104: a ViT whose patches have rotary positions. Reference:
// transformers/models/dinov3_vit, timm/models/eva.py (vit_*_dinov3). Names are those of the
// published transformers folders.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

extern const Family kDinov3Family;

}  // namespace ocelli
