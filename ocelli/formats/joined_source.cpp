#include "ocelli/formats/joined_source.h"

#include "ocelli/base/error.h"

namespace ocelli {

JoinedSource::JoinedSource(const Parts& parts, std::string path) : path_(std::move(path)) {
  std::map<std::string, TensorInfo> sorted;
  for (const auto& [prefix, source] : parts) {
    for (TensorInfo info : source->tensors()) {
      const std::string name = prefix + info.name;
      if (!places_.emplace(name, Place{source, info.name}).second) {
        fail(ErrorCode::corrupt_data, "{}: there are two tensors {}", path_, name);
      }
      info.name = name;
      sorted[name] = std::move(info);
    }
  }
  for (auto& [name, info] : sorted) infos_.push_back(std::move(info));
}

const JoinedSource::Place& JoinedSource::find(std::string_view name) const {
  const auto place = places_.find(name);
  if (place == places_.end()) fail(ErrorCode::not_found, "{}: tensor {} is missing", path_, name);
  return place->second;
}

Tensor JoinedSource::load(std::string_view name) const {
  const Place& place = find(name);
  return place.source->load(place.name);
}

void JoinedSource::release(std::string_view name) const {
  const Place& place = find(name);
  place.source->release(place.name);
}

PartSource::PartSource(std::shared_ptr<const TensorSource> source, std::string prefix)
    : source_(std::move(source)), prefix_(std::move(prefix)) {
  for (TensorInfo info : source_->tensors()) {
    if (!info.name.starts_with(prefix_)) continue;
    info.name = info.name.substr(prefix_.size());
    infos_.push_back(std::move(info));
  }
}

}  // namespace ocelli
