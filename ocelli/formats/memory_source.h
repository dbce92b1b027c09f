// A TensorSource held in memory: what parsers fill, what tests and conversions build.
#pragma once

#include <map>
#include <string>

#include "ocelli/tensor/source.h"

namespace ocelli {

class MemorySource final : public TensorSource {
 public:
  explicit MemorySource(std::map<std::string, Tensor, std::less<>> tensors,
                        std::string path = "memory");

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  Tensor load(std::string_view name) const override;
  std::string path() const override { return path_; }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<TensorInfo> infos_;
  std::string path_;
};

}  // namespace ocelli
