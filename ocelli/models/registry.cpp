#include "ocelli/models/registry.h"

#include <array>

#include "ocelli/models/bert.h"
#include "ocelli/models/clip.h"
#include "ocelli/models/dinov2.h"
#include "ocelli/models/dinov3.h"
#include "ocelli/models/dual_encoder.h"
#include "ocelli/models/efficientnet.h"
#include "ocelli/models/siglip.h"
#include "ocelli/models/vit.h"

namespace ocelli {

std::span<const Family* const> families() {
  static const std::array kFamilies = {
      &kDualEncoderFamily,
      &kDinov2Family,  // before vit, for which Meta's checkpoints would pass
      &kDinov3Family,      &kVitFamily,          &kClipFamily,
      &kSiglipFamily,      &kEfficientNetFamily, &kBertFamily,
  };
  return kFamilies;
}

const Family& find_family(const ModelFolder& folder) {
  std::string known;
  for (const Family* family : families()) {
    if (family->matches(folder)) return *family;
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", family->name, family->accepts);
  }
  const std::string type = folder.type();
  fail(ErrorCode::unsupported, "{}: {}; supported are {}", folder.path.string(),
       type.empty() ? std::string("the tensors are those of no family that Ocelli knows")
                    : fmt::format("'{}' is no model that Ocelli knows", type),
       known);
}

}  // namespace ocelli
