// What tools/goldens/augment.py wrote.
#pragma once

#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/image/image.h"

namespace ocelli {

inline std::string golden_path(const std::string& name) {
  return OCELLI_SOURCE_DIR "/tests/data/goldens/" + name;
}

inline const nlohmann::json& golden_json() {
  static const auto json = nlohmann::json::parse(read_file(golden_path("augment.json")));
  return json;
}

inline Tensor golden_tensor(const std::string& name) {
  static const auto source = open_checkpoint(golden_path("augment.safetensors"));
  return source->load(name);
}

inline Image golden_image(const std::string& name) {
  return {golden_tensor("image." + name), "golden"};
}

}  // namespace ocelli
