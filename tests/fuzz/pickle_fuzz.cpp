// PyTorch's files; any other input is taken as the pickle inside one, past the zip's checksum.
#include "ocelli/formats/pickle.h"
#include "ocelli/formats/torch_file.h"
#include "ocelli/formats/zip.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  auto bytes = copy_of(data, size);
  try {
    if (!Zip::looks_like(*bytes) && size > 0) {
      const std::string text(reinterpret_cast<const char*>(data), size);
      const std::string zip =
          write_stored_zip({{"a/data.pkl", text}, {"a/data/0", std::string(256, 'x')}});
      const auto wrapped = copy_of(reinterpret_cast<const uint8_t*>(zip.data()), zip.size());
      try {
        load_all(*open_torch_file(*wrapped, wrapped, "fuzz"));
      } catch (const Error&) {
      }
    }
    load_all(*open_torch_file(*bytes, bytes, "fuzz"));
  } catch (const Error&) {
  }
  return 0;
}
