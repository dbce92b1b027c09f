// SigLIP and SigLIP 2 at a fixed resolution. Zhai et al., arXiv 2303.15343; Tschannen et al., arXiv
// 2502.14786. Reference: transformers/models/siglip.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

extern const Family kSiglipFamily;

}  // namespace ocelli
