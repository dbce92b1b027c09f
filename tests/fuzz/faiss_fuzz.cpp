#include "ocelli/index/faiss_rows.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const auto bytes = copy_of(data, size);
  try {
    const FaissRows rows = parse_faiss(*bytes, "fuzz");
    std::vector<float> row(rows.values.size() / sizeof(float));  // for one at least
    for (int64_t i = 0; i < rows.count; ++i) rows.copy(i, row.data());
  } catch (const Error&) {
  }
  return 0;
}
