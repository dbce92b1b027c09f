// Each small file, cut after each byte and with each byte damaged: an Error or a reading, never a
// crash.
#include <algorithm>

#include "ocelli/base/file.h"
#include "tests/formats/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files() {
  return {"types.safetensors", "float8.safetensors", "zip.pt",        "zip4.pt",
          "legacy.pt",         "deflated.pt",        "checkpoint.pt", "old_dict.pt",
          "plain.npz",         "packed.npz",         "f4.npy",        "f8.npy",
          "fortran.npy",       "version2.npy",       "scalar.npy",    "evil.pt",
          "evil_legacy.pt"};
}

void try_bytes(const std::string& bytes) {
  try {
    load_all(*open_bytes(bytes));
  } catch (const Error& error) {
    ASSERT_TRUE(error.code() == ErrorCode::corrupt_data || error.code() == ErrorCode::unsupported)
        << error.what();
  }
}

class Sweep : public testing::TestWithParam<std::string> {};

TEST_P(Sweep, CutAnywhere) {
  const std::string bytes = read_file(golden(GetParam()));
  for (size_t size = 0; size < bytes.size(); ++size) try_bytes(bytes.substr(0, size));
}

TEST_P(Sweep, EachByteDamaged) {
  std::string bytes = read_file(golden(GetParam()));
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char right = bytes[i];
    for (const char wrong : {static_cast<char>(~right), static_cast<char>(right + 1), '\0'}) {
      bytes[i] = wrong;
      try_bytes(bytes);
    }
    bytes[i] = right;
  }
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Formats, Sweep, testing::ValuesIn(files()), test_name);

}  // namespace
}  // namespace ocelli
