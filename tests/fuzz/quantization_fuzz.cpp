// A quantised checkpoint: the block of config.json, a line of "---", and the safetensors file.
#include <nlohmann/json.hpp>
#include <string_view>

#include "ocelli/formats/safetensors.h"
#include "ocelli/models/folder.h"
#include "tests/fuzz/fuzz.h"

namespace ocelli {
namespace {

void read_quantized(std::string_view text) {
  constexpr std::string_view kEnd = "\n---\n";
  const size_t end = text.find(kEnd);
  if (end == text.npos) return;
  auto block = nlohmann::json::parse(text.substr(0, end), nullptr, false);
  text.remove_prefix(end + kEnd.size());
  nlohmann::json config = {{"quantization_config", std::move(block)}};
  const auto quantization = read_quantization(Config(std::move(config), "fuzz.json"));
  if (!quantization) return;
  const auto bytes = copy_of(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  load_all(
      *dequantized(std::make_shared<Safetensors>(*bytes, bytes, "fuzz"), quantization->weights));
}

}  // namespace
}  // namespace ocelli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    ocelli::read_quantized({reinterpret_cast<const char*>(data), size});
  } catch (const ocelli::Error&) {
  }
  return 0;
}
