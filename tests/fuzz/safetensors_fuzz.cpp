#include "ocelli/formats/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = ocelli::copy_of(data, size);
  try {
    ocelli::load_all(ocelli::Safetensors(*bytes, bytes, "fuzz"));
  } catch (const ocelli::Error&) {
  }
  return 0;
}
