#include "tests/formats/support.h"

#include <algorithm>

#include "ocelli/base/file.h"
#include "ocelli/formats/npy.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/formats/torch_file.h"
#include "ocelli/formats/zip.h"

namespace ocelli {
namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
  return fs::path(OCELLI_SOURCE_DIR) / "tests/formats/data" / name;
}

std::shared_ptr<TensorSource> open_bytes(const std::string& bytes) {
  const auto copy = std::make_shared<std::vector<std::byte>>(bytes.size());
  std::ranges::copy(std::as_bytes(std::span(bytes)), copy->begin());
  const std::span<const std::byte> view = *copy;
  if (bytes.starts_with("\x93NUMPY")) {
    return std::make_shared<MemorySource>(
        std::map<std::string, Tensor, std::less<>>{{"", parse_npy(view, "bytes.npy")}});
  }
  if (Zip::looks_like(view) && bytes.find(".npy") != bytes.npos)
    return parse_npz(view, "bytes.npz");
  if (is_torch_file(view)) return open_torch_file(view, copy, "bytes.pt");
  return std::make_shared<Safetensors>(view, copy, "bytes.safetensors");
}

void load_all(const TensorSource& source) {
  for (const TensorInfo& info : source.tensors()) {
    const Tensor t = source.load(info.name);
    EXPECT_EQ(t.shape(), info.shape) << info.name;
    EXPECT_EQ(t.dtype(), info.dtype) << info.name;
    // Every byte is read.
    volatile unsigned char sum = 0;
    for (size_t i = 0; i < t.nbytes(); ++i) sum = sum + static_cast<unsigned char*>(t.raw())[i];
    source.release(info.name);
  }
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

std::string torch_zip(const std::string& pickle) {
  return write_stored_zip(
      {{"a/data.pkl", pickle}, {"a/data/0", std::string(16, '\0')}, {"a/version", "3\n"}});
}

fs::path TempFolderTest::write(const std::string& name, const std::string& bytes) const {
  write_file(folder_ / name, bytes);
  return folder_ / name;
}

}  // namespace ocelli
