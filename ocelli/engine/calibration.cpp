#include "ocelli/engine/calibration.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace ocelli {

void Watcher::layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                         float eps) const {
  Cpu::layer_norm(y, x, weight, bias, eps);
  norm_ = {weight ? weight->data : nullptr, y.data, {}};
  if (y.shape.numel() > 0 && y.strides[-1] == 1)
    norm_.row.assign(y.as<float>(), y.as<float>() + y.shape[-1]);
}

backend::PackedPtr Watcher::pack_linear(const View& weight, const View* bias) const {
  backend::PackedPtr packed = Cpu::pack_linear(weight, bias);
  if (!pending_.empty()) {
    layer_of_[packed.get()] = layers_.size();
    layers_.push_back({.names = std::move(pending_), .n = weight.shape[0], .k = weight.shape[1]});
    pending_.clear();
  }
  return packed;
}

backend::PackedPtr Watcher::pack_conv2d(const View& weight, const View* bias,
                                        const backend::Conv2d& params) const {
  backend::PackedPtr packed = Cpu::pack_conv2d(weight, bias, params);
  pending_.clear();  // a depthwise one is no product
  return packed;
}

void Watcher::linear(const View& y, const View& x, const backend::Packed& weight,
                     const backend::Epilogue& epilogue) const {
  const auto found = layer_of_.find(&weight);
  if (found != layer_of_.end() && x.shape[0] > 0) {
    WatchedLayer& layer = layers_[found->second];
    const bool after_norm = x.data == norm_.result &&
                            static_cast<int64_t>(norm_.row.size()) == layer.k &&
                            std::equal(norm_.row.begin(), norm_.row.end(), x.as<float>());
    const void* norm = after_norm ? norm_.weight : nullptr;
    layer.norm = layer.most.empty() || layer.norm == norm ? norm : nullptr;
    layer.most.resize(static_cast<size_t>(layer.k));
    for (int64_t r = 0; r < x.shape[0]; ++r) {
      const float* row = x.as<float>() + r * x.strides[0];
      const auto [least, largest] = std::ranges::minmax(std::span(row, layer.k));
      layer.low = layer.rows ? std::min(layer.low, least) : least;
      layer.high = layer.rows ? std::max(layer.high, largest) : largest;
      layer.ranges += largest - least;
      ++layer.rows;
      for (int64_t i = 0; i < layer.k; ++i) {
        float& most = layer.most[static_cast<size_t>(i)];
        most = std::max(most, std::abs(row[i]));
      }
    }
  }
  Cpu::linear(y, x, weight, epilogue);
}

}  // namespace ocelli
