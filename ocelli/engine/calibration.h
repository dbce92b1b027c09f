// What goes through the linear layers of a model: a backend that packs and computes as cpu() does
// and remembers, for `ocelli quantize`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ocelli/backend/cpu/cpu.h"

namespace ocelli {

// A weight as the model multiplies it.
struct WatchedLayer {
  std::vector<std::string> names = {};  // in the checkpoint; several that are packed as one
  int64_t n = 0, k = 0;
  std::vector<float> most =
      {};                   // the largest input of each column without its sign; empty: none came
  float low = 0, high = 0;  // the smallest and the largest input
  double ranges = 0;        // sum over rows of a row's largest less its smallest
  int64_t rows = 0;
  const void* norm = nullptr;  // weights of the layer norm whose results alone come in, or null
};

class Watcher final : public backend::Cpu {
 public:
  Watcher() : Cpu(backend::Precision::f32) {}

  // For Weights::Packer: the weight that is packed next is `name`, or a part of it.
  const backend::Backend& naming(const std::string& name) const {
    pending_.push_back(name);
    return *this;
  }
  const std::vector<WatchedLayer>& layers() const { return layers_; }
  const void* last_norm() const { return norm_.weight; }

  void layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                  float eps) const override;
  backend::PackedPtr pack_linear(const View& weight, const View* bias) const override;
  backend::PackedPtr pack_conv2d(const View& weight, const View* bias,
                                 const backend::Conv2d& params) const override;
  void linear(const View& y, const View& x, const backend::Packed& weight,
              const backend::Epilogue& epilogue) const override;

 private:
  // Memory is used again: a result is known by its place and its first row.
  struct Norm {
    const void *weight = nullptr, *result = nullptr;
    std::vector<float> row;
  };

  mutable std::vector<std::string> pending_;
  mutable std::vector<WatchedLayer> layers_;
  mutable std::map<const backend::Packed*, size_t> layer_of_;
  mutable Norm norm_;
};

}  // namespace ocelli
