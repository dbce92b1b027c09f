#include "ocelli/formats/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/base/mapped_file.h"
#include "ocelli/formats/npy.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/formats/torch_file.h"
#include "ocelli/formats/zip.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

// Shards seen as one; each name is read from the file the index gives.
class Sharded final : public TensorSource {
 public:
  explicit Sharded(const fs::path& index);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  Tensor load(std::string_view name) const override { return shard(name).load(name); }
  void release(std::string_view name) const override { shard(name).release(name); }
  std::string path() const override { return path_; }

 private:
  const TensorSource& shard(std::string_view name) const {
    const auto entry = where_.find(name);
    if (entry == where_.end()) fail(ErrorCode::not_found, "{}: tensor {} is missing", path_, name);
    return *entry->second;
  }

  std::string path_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::shared_ptr<TensorSource>, std::less<>> where_;
};

Sharded::Sharded(const fs::path& index) : path_(index.string()) {
  const auto json = nlohmann::json::parse(read_file(index), nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail(ErrorCode::corrupt_data, "{}: the field 'weight_map' is missing", path_);
  }
  std::map<std::string, std::shared_ptr<TensorSource>> shards;
  for (const auto& [name, value] : json["weight_map"].items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : "";
    // An index among the shards would make a circle.
    if (file.empty() || fs::path(file).filename() != file || file.ends_with(".json") ||
        fs::is_directory(index.parent_path() / file)) {
      fail(ErrorCode::corrupt_data, "{}: tensor {}: '{}' is no file of this folder", path_, name,
           file);
    }
    auto& shard = shards[file];
    if (!shard) shard = open_checkpoint(index.parent_path() / file);
    const auto& all = shard->tensors();
    const auto info = std::ranges::lower_bound(all, name, {}, &TensorInfo::name);
    if (info == all.end() || info->name != name) {
      fail(ErrorCode::corrupt_data, "{}: tensor {} should be in {} but is not", path_, name, file);
    }
    infos_.push_back(*info);
    where_.emplace(name, shard);
  }
}

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  uint64_t header = 0;
  if (bytes.size() <= sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  return bytes[8] == std::byte{'{'} && header <= bytes.size() - sizeof header;
}

std::shared_ptr<TensorSource> open_file(const fs::path& path) {
  if (path.extension() == ".json") return std::make_shared<Sharded>(path);
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.empty()) fail(ErrorCode::corrupt_data, "{}: the file is empty", path.string());
  if (Zip::looks_like(bytes)) {
    const Zip zip(bytes, path.string());
    for (const std::string& name : zip.names()) {
      if (name.ends_with("data.pkl")) return open_torch_file(path);
    }
    return open_npz(path);
  }
  // Before PyTorch's: the low byte of a header's length may be a pickle's first byte, 0x80.
  if (looks_like_safetensors(bytes)) return std::make_shared<Safetensors>(path);
  if (is_torch_file(bytes)) return open_torch_file(path);
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), 32));
  if (start.starts_with("version https://git-lfs")) {
    fail(ErrorCode::corrupt_data, "{}: a git-lfs pointer, not the weights: run 'git lfs pull'",
         path.string());
  }
  const bool brace = bytes.size() > 8 && bytes[8] == std::byte{'{'};
  if (brace || path.extension() == ".safetensors") return std::make_shared<Safetensors>(path);
  fail(ErrorCode::corrupt_data, "{}: neither safetensors nor a PyTorch file nor npz",
       path.string());
}

}  // namespace

namespace {

constexpr std::array kNames = {"model.safetensors",           "model.safetensors.index.json",
                               "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
                               "pytorch_model.bin",           "pytorch_model.bin.index.json",
                               "open_clip_pytorch_model.bin"};

// Those of the usual name, of which the first counts, else all that look like one.
std::vector<fs::path> checkpoints_in(const fs::path& folder) {
  for (const char* name : kNames) {
    if (fs::exists(folder / name)) return {folder / name};
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    for (const char* known : {".safetensors", ".pth", ".pt", ".bin", ".npz"}) {
      if (extension == known) found.push_back(entry.path());
    }
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace

bool has_checkpoint(const fs::path& folder) {
  return !checkpoints_in(folder).empty();
}

fs::path find_checkpoint(const fs::path& folder) {
  const std::vector<fs::path> found = checkpoints_in(folder);
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    fail(ErrorCode::not_found,
         "{}: no checkpoint here (looked for {} and *.safetensors, *.pth, "
         "*.pt, *.bin, *.npz)",
         folder.string(), kNames[0]);
  }
  std::string list;
  for (const fs::path& path : found) list += fmt::format(" {}", path.filename().string());
  fail(ErrorCode::invalid_argument, "{}: several checkpoints; name one of:{}", folder.string(),
       list);
}

std::shared_ptr<TensorSource> open_checkpoint(const fs::path& path) {
  if (!fs::exists(path)) fail(ErrorCode::not_found, "{}: no such file or folder", path.string());
  return open_file(fs::is_directory(path) ? find_checkpoint(path) : path);
}

}  // namespace ocelli
