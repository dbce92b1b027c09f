// safetensors: 8 bytes of header length (little endian), a JSON header, the data.
// https://github.com/huggingface/safetensors#format. Read strictly: every byte of the data belongs
// to exactly one tensor, and nothing in the header is taken on trust.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "ocelli/base/mapped_file.h"
#include "ocelli/tensor/source.h"

namespace ocelli {

class Safetensors final : public TensorSource {
 public:
  // Throws not_found, or corrupt_data naming the file and what is wrong.
  explicit Safetensors(const std::filesystem::path& path);
  // From bytes that `owner` keeps alive; for tests and fuzzing.
  Safetensors(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
              std::string name);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  // BOOL comes as u8, F64 as f32, I16 and U16 as i32, U32 as i64; U64 and the 8-bit floats throw
  // unsupported.
  Tensor load(std::string_view name) const override;
  void release(std::string_view name) const override;
  std::string path() const override { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  struct Entry {
    std::string dtype;  // as in the file
    Shape shape;
    size_t begin = 0, end = 0;  // in the data
  };
  void parse(std::span<const std::byte> bytes);
  void parse_metadata(const nlohmann::json& value);
  Entry parse_entry(const std::string& name, const nlohmann::json& value) const;
  void check_layout(size_t size) const;
  const Entry& find(std::string_view name) const;

  std::string path_;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
  bool mapped_ = false;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::string> metadata_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Writes the tensors, compact, under a temporary name and renames. Names must differ.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace ocelli
