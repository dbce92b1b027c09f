// packed.safetensors: weights as they are multiplied.
#include "ocelli/engine/packed_weights.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto bytes = ocelli::copy_of(data, size);
    const ocelli::Safetensors file(*bytes, bytes, "fuzz");
    const auto weights = file.metadata().find("weights");
    if (weights != file.metadata().end()) ocelli::PackedWeights(file, weights->second);
  } catch (const ocelli::Error&) {
  }
  return 0;
}
