#include "ocelli/engine/convert.h"

#include <cstring>

#include "ocelli/base/file.h"
#include "ocelli/engine/open.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/folder.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

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

bool is_quantized(const fs::path& folder) {
  if (!fs::exists(folder / "config.json")) return false;
  const auto json = nlohmann::json::parse(read_file(folder / "config.json"), nullptr, false);
  const auto block = json.is_object() ? json.find("quantization_config") : json.end();
  return block != json.end() && block->is_object() && block->contains("quant_method") &&
         (*block)["quant_method"] == "ocelli";
}

Conversion write_weights(const TensorSource& checkpoint, const fs::path& file,
                         std::optional<DType> dtype, const Progress& progress) {
  Conversion result;
  std::vector<NamedTensor> tensors;
  for (const TensorInfo& info : checkpoint.tensors()) {
    throw_if_cancelled();
    const Tensor tensor = checkpoint.load(info.name);
    const bool other = dtype && is_floating_point(tensor.dtype());
    tensors.push_back({info.name, other ? to(tensor, *dtype) : contiguous(tensor)});
    result.bytes += static_cast<int64_t>(tensors.back().tensor.nbytes());
    ++result.tensors;
    if (progress) progress(result.tensors, static_cast<int64_t>(checkpoint.tensors().size()));
  }
  write_and_compare(file, tensors);
  return result;
}

}  // namespace

void write_and_compare(const fs::path& file, std::span<const NamedTensor> tensors) {
  write_safetensors(file, tensors, {{"format", "pt"}});
  verify(file, tensors);
}

void write_model_folder(const fs::path& input, const fs::path& output, const std::string& command,
                        const std::function<void()>& write) {
  fs::path folder = fs::is_directory(input) ? input : input.parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  const bool made = fs::create_directories(output, error);
  if (error) fail(ErrorCode::io, "{}: cannot be made: {}", output.string(), error.message());
  check(!fs::equivalent(folder, output),
        "{}: {} is the folder of the model itself; write to another", command, output.string());
  try {
    // The weights last: a folder that has them is whole.
    copy_model_texts(folder, output);
    write();
  } catch (...) {
    if (made) fs::remove_all(output, error);
    throw;
  }
}

Conversion convert(const fs::path& input, const fs::path& output, std::optional<DType> dtype,
                   const Progress& progress) {
  const auto checkpoint = open_checkpoint(input);
  Conversion result;
  write_model_folder(input, output, "convert", [&] {
    check(!dtype || !is_quantized(output), "convert: {} is quantised; convert the original",
          input.string());
    result = write_weights(*checkpoint, output / "model.safetensors", dtype, progress);
  });
  return result;
}

int64_t pack(const fs::path& folder, const std::string& precision) {
  PackedWriter writer;
  const auto opened = open_model(
      folder.string(), {.precision = precision,
                        .keep = [&](const Weights::Names& names, const backend::Packed& packed) {
                          writer.keep(names, packed);
                        }});
  return writer.write(folder, packed_for(*opened));
}

}  // namespace ocelli
