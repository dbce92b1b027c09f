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

// A lone checkpoint may lie among files that have nothing to do with it.
bool is_model_folder(const fs::path& folder) {
  return fs::exists(folder / "config.json") || fs::exists(folder / "open_clip_config.json");
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
      fs::remove(file);
      fail(ErrorCode::io, "{}: the tensor {} does not read back as it was written", file.string(),
           expected.name);
    }
  }
}

void copy_texts(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    if (!entry.is_regular_file() || !belongs_to_model(entry.path())) continue;
    throw_if_cancelled();
    write_file(to / entry.path().filename(), read_file(entry.path()));
  }
}

Conversion write_weights(const TensorSource& checkpoint, const fs::path& file, DType dtype,
                         const Progress& progress) {
  Conversion result;
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& info : checkpoint.tensors()) {
    throw_if_cancelled();
    const Tensor tensor = checkpoint.load(info.name);
    tensors.push_back(
        {info.name, is_floating_point(tensor.dtype()) ? to(tensor, dtype) : contiguous(tensor)});
    result.bytes += static_cast<int64_t>(tensors.back().tensor.nbytes());
    ++result.tensors;
    if (progress) progress(result.tensors, static_cast<int64_t>(checkpoint.tensors().size()));
  }
  write_safetensors(file, tensors, {{"format", "pt"}});
  verify(file, tensors);
  return result;
}

}  // namespace

Conversion convert(const fs::path& input, const fs::path& output, DType dtype,
                   const Progress& progress) {
  const auto checkpoint = open_checkpoint(input);
  fs::path folder = fs::is_directory(input) ? input : input.parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  const bool made = fs::create_directories(output, error);
  if (error) fail(ErrorCode::io, "{}: cannot be made: {}", output.string(), error.message());
  check(!fs::equivalent(folder, output),
        "convert: {} is the folder of the model itself; write to another", output.string());
  const fs::path file = output / "model.safetensors";
  try {
    // The weights last: a folder that has them is whole.
    if (is_model_folder(folder)) copy_texts(folder, output);
    return write_weights(*checkpoint, file, dtype, progress);
  } catch (...) {
    if (made) fs::remove_all(output, error);
    throw;
  }
}

}  // namespace ocelli
