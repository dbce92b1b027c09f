// EfficientNet. Tan and Le, arXiv 1905.11946; V2, arXiv 2104.00298; Lite, without squeeze-excite
// and with ReLU6. Reference: timm/models/efficientnet.py.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

extern const Family kEfficientNetFamily;

}  // namespace ocelli
