#include "ocelli/formats/memory_source.h"

namespace ocelli {

MemorySource::MemorySource(std::map<std::string, Tensor, std::less<>> tensors, std::string path)
    : tensors_(std::move(tensors)), path_(std::move(path)) {
  for (const auto& [name, tensor] : tensors_) {
    infos_.push_back({name, tensor.dtype(), tensor.shape(), path_});
  }
}

Tensor MemorySource::load(std::string_view name) const {
  const auto entry = tensors_.find(name);
  if (entry == tensors_.end()) {
    fail(ErrorCode::not_found, "{}: tensor {} is missing", path_, name);
  }
  return entry->second;
}

}  // namespace ocelli
