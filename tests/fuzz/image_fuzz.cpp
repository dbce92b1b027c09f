#include "ocelli/image/decode.h"
#include "ocelli/image/exif.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const auto bytes = copy_of(data, size);
  read_exif(*bytes);
  try {
    const Image image = decode_image(*bytes, "fuzz", {.max_pixels = 1 << 18});
    // Every pixel lies in memory that is there.
    volatile uint8_t sum = 0;
    for (int64_t i = 0; i < image.pixels.numel(); ++i) sum = sum + image.data()[i];
  } catch (const Error&) {
  }
  return 0;
}
