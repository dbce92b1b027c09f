// packed.safetensors of `ocelli convert --packed`: a model's linear weights as the processor
// multiplies them, mapped into memory instead of made at every start. It lies beside the weights
// that it was made of, and is passed over where they, the instruction set or the precision are
// others.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "ocelli/formats/safetensors.h"
#include "ocelli/nn/weights.h"

namespace ocelli {

// What packed weights depend on beside the weights themselves.
struct PackedFor {
  std::string isa, precision;  // "as quantised" where a folder says it for each weight
  std::string fingerprint;     // fingerprint() of the checkpoint
  bool operator==(const PackedFor&) const = default;
};

// Null where the folder has none for what is wanted, which is asked for where there is one, or one
// that is older than its model.safetensors. Throws
// corrupt_data, naming the file, for one that is damaged.
std::shared_ptr<const class PackedWeights> open_packed(const std::filesystem::path& folder,
                                                       const std::function<PackedFor()>& wanted);

class PackedWeights {
 public:
  PackedWeights(const Safetensors& file, const std::string& weights);

  // Those of these names, which are multiplied as one; null when the file has not got them.
  backend::PackedPtr find(const std::vector<std::string>& names) const;

 private:
  std::map<std::vector<std::string>, backend::PackedPtr> packed_;
};

// Collects what a model packs (Weights::Options::keep) and writes it.
class PackedWriter {
 public:
  void keep(const std::vector<std::string>& names, const backend::Packed& packed);
  // Returns the bytes of the tensors. Throws unsupported when nothing was packed.
  int64_t write(const std::filesystem::path& folder, const PackedFor& made_for) const;

 private:
  nlohmann::json weights_ = nlohmann::json::array();
  std::vector<NamedTensor> tensors_;
};

}  // namespace ocelli
