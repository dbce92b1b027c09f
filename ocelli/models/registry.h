// The families Ocelli knows. Adding one is a file pair, whose header declares its Family
// (`extern const Family kVitFamily;`), and a line in registry.cpp.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "ocelli/models/folder.h"
#include "ocelli/models/model.h"
#include "ocelli/nn/weights.h"

namespace ocelli {

struct Family {
  const char* name;
  const char* accepts;  // for people: "ViTModel, ViTForImageClassification, timm vit_*, deit*"
  // True when the folder holds one of this family, by configuration or by tensor names.
  bool (*matches)(const ModelFolder& folder);
  // The checkpoint's names to the family's own; may depend on the layout found in the folder.
  Weights::Rename (*rename)(const ModelFolder& folder);
  std::unique_ptr<Model> (*load)(const ModelFolder& folder, const Weights& weights);
};

std::span<const Family* const> families();

// Throws unsupported, listing what is supported.
const Family& find_family(const ModelFolder& folder);

}  // namespace ocelli
