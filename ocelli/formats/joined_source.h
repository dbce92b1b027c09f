// Sources seen under other names: those of several as one, and a part of one by itself.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "ocelli/tensor/source.h"

namespace ocelli {

// The tensors of each source with its prefix ("text_model.", or none) before their names. Throws
// corrupt_data for a name that there is twice.
class JoinedSource final : public TensorSource {
 public:
  using Parts = std::map<std::string, std::shared_ptr<const TensorSource>>;

  // `path` is for messages.
  JoinedSource(const Parts& parts, std::string path);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  Tensor load(std::string_view name) const override;
  void release(std::string_view name) const override;
  std::string path() const override { return path_; }

 private:
  struct Place {
    std::shared_ptr<const TensorSource> source;
    std::string name;
  };
  const Place& find(std::string_view name) const;

  std::map<std::string, Place, std::less<>> places_;
  std::vector<TensorInfo> infos_;
  std::string path_;
};

// The tensors whose names begin with `prefix`, by the rest of their names.
class PartSource final : public TensorSource {
 public:
  PartSource(std::shared_ptr<const TensorSource> source, std::string prefix);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  Tensor load(std::string_view name) const override { return source_->load(full(name)); }
  void release(std::string_view name) const override { source_->release(full(name)); }
  std::string path() const override { return source_->path(); }

 private:
  std::string full(std::string_view name) const { return prefix_ + std::string(name); }

  std::shared_ptr<const TensorSource> source_;
  std::string prefix_;
  std::vector<TensorInfo> infos_;
};

}  // namespace ocelli
