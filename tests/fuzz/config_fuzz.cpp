// A model's configuration against a small checkpoint that it may or may not fit. The first byte
// chooses the checkpoint; then follow config.json, open_clip_config.json and
// preprocessor_config.json, separated by lines of "---".
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "ocelli/formats/checkpoint.h"
#include "ocelli/models/registry.h"
#include "tests/fuzz/fuzz.h"

namespace ocelli {
namespace {

constexpr std::array kCheckpoints = {"vit_hf_classifier", "vit_timm_token",    "clip_hf",
                                     "clip_open_clip",    "clip_resnet",       "siglip",
                                     "efficientnet_b0",   "efficientnet_lite0"};

std::shared_ptr<const TensorSource> checkpoint(size_t choice) {
  static std::array<std::shared_ptr<const TensorSource>, kCheckpoints.size()> open;
  auto& source = open[choice % open.size()];
  const std::string folder = std::string(OCELLI_SOURCE_DIR) + "/tests/goldens/";
  if (!source) source = open_checkpoint(folder + kCheckpoints[choice % open.size()]);
  return source;
}

void read_model(std::string_view text) {
  ModelFolder folder;
  folder.path = "fuzz";
  folder.checkpoint = checkpoint(static_cast<unsigned char>(text[0]));
  text.remove_prefix(1);
  Config* const configs[] = {&folder.config, &folder.open_clip, &folder.processor};
  for (Config* config : configs) {
    const size_t end = std::min(text.find("\n---\n"), text.size());
    auto json = nlohmann::json::parse(text.substr(0, end), nullptr, false);
    if (json.is_object()) *config = Config(std::move(json), "fuzz.json");
    text.remove_prefix(std::min(end + 5, text.size()));
  }
  read_labels(folder);
  const Family& family = find_family(folder);
  family.load(folder, Weights(folder.checkpoint, {.rename = family.rename(folder)}));
}

}  // namespace
}  // namespace ocelli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    ocelli::read_model({reinterpret_cast<const char*>(data), size});
  } catch (const ocelli::Error&) {
  }
  return 0;
}
