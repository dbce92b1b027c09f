#include "ocelli/engine/convert.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

bool belongs_to_model(const fs::path& file) {
  static constexpr std::array kExtensions = {".json", ".txt", ".model", ".md", ".gz"};
  const std::string name = file.filename().string();
  if (name.ends_with(".index.json")) return false;
  return name.starts_with("LICENSE") ||
         std::ranges::find(kExtensions, file.extension().string()) != kExtensions.end();
}

void verify(const fs::path& file, std::span<const NamedTensor> tensors) {
  const Safetensors written(file);
  for (const NamedTensor& expected : tensors) {
    const Tensor found = written.load(expected.name);
    if (found.shape() != expected.tensor.shape() || found.dtype() != expected.tensor.dtype() ||
        std::memcmp(contiguous(found).raw(), expected.tensor.raw(), expected.tensor.nbytes()) !=
            0) {
      fail(ErrorCode::io, "{}: the tensor {} does not read back as it was written", file.string(),
           expected.name);
    }
  }
}

}  // namespace

Conversion convert(const fs::path& input, const fs::path& output, DType dtype,
                   const Progress& progress) {
  const auto checkpoint = open_checkpoint(input);
  const fs::path folder = fs::is_directory(input) ? input : input.parent_path();
  std::error_code error;
  fs::create_directories(output, error);
  if (error) fail(ErrorCode::io, "{}: cannot be made: {}", output.string(), error.message());
  check(!fs::equivalent(folder.empty() ? fs::path(".") : folder, output),
        "convert: {} is the folder of the model itself; write to another", output.string());
  Conversion result;
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& info : checkpoint->tensors()) {
    throw_if_cancelled();
    const Tensor tensor = checkpoint->load(info.name);
    tensors.push_back(
        {info.name, is_float(tensor.dtype()) ? to(tensor, dtype) : contiguous(tensor)});
    result.bytes += static_cast<int64_t>(tensors.back().tensor.nbytes());
    if (progress)
      progress(static_cast<int64_t>(tensors.size()),
               static_cast<int64_t>(checkpoint->tensors().size()));
  }
  result.tensors = static_cast<int64_t>(tensors.size());
  const fs::path file = output / "model.safetensors";
  write_safetensors(file, tensors, {{"format", "pt"}});
  verify(file, tensors);
  for (const auto& entry : fs::directory_iterator(folder.empty() ? fs::path(".") : folder)) {
    if (entry.is_regular_file() && belongs_to_model(entry.path())) {
      write_file(output / entry.path().filename(), read_file(entry.path()));
    }
  }
  return result;
}

}  // namespace ocelli
