// DINOv2. Oquab et al., arXiv 2304.07193; registers, Darcet et al., arXiv 2309.16588. Reference:
// facebookresearch/dinov2 dinov2/models/vision_transformer.py, transformers/models/{dinov2,
// dinov2_with_registers}. The encoder is a ViT's; timm's vit_*_dinov2 are opened by vit, whose
// class they are.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

extern const Family kDinov2Family;

}  // namespace ocelli
