#include "ocelli/formats/image_records.h"
#include "tests/fuzz/fuzz.h"

// A byte that says the format; for IDX the rest is images, then 16 bytes of labels.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = bytes.size() > 16 ? bytes.size() - 16 : 0;
  try {
    const ImageRecords records = data[0] % 2 == 0
                                     ? parse_cifar(bytes, "fuzz")
                                     : parse_idx(bytes.substr(0, cut), bytes.substr(cut), "fuzz");
    std::vector<uint8_t> rgb(static_cast<size_t>(records.height * records.width * 3));
    for (size_t i = 0; i < records.labels.size(); ++i) {
      records.copy_image(static_cast<int64_t>(i), rgb.data());
    }
  } catch (const Error&) {
  }
  return 0;
}
