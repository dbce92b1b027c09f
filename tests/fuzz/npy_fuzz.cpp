#include "ocelli/formats/npy.h"
#include "ocelli/formats/zip.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const auto bytes = copy_of(data, size);
  try {
    if (Zip::looks_like(*bytes))
      load_all(*parse_npz(*bytes, "fuzz"));
    else
      parse_npy(*bytes, "fuzz");
  } catch (const Error&) {
  }
  return 0;
}
