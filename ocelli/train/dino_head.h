// The head that DINO and iBOT put on tokens: a projection whose cosines with K prototypes are the
// logits. Caron et al., arXiv 2104.14294, appendix C; dinov2/layers/dino_head.py, whose names the
// tensors have.
#pragma once

#include <map>
#include <string>

#include "ocelli/nn/layers.h"

namespace ocelli {

using NamedTensors = std::map<std::string, Tensor, std::less<>>;

struct DinoHeadSizes {
  int64_t hidden = 2048, bottleneck = 256, prototypes = 65536;
};

// Three linears with GELU between, then length 1, then a linear without bias whose rows have the
// length weight_g (torch.nn.utils.weight_norm).
struct DinoHead {
  Linear fc1, fc2, fc3;  // "mlp.0", "mlp.2", "mlp.4"
  Linear last_layer;     // "last_layer.weight_g" [K, 1], "last_layer.weight_v" [K, bottleneck]

  explicit DinoHead(const Weights& w);
  Tensor operator()(const Tensor& x) const;  // [N, C] -> [N, K]
};

// A new head for tokens of `width`, its names below `prefix`: weights of deviation 0.02 and zero
// biases, prototypes of length 1 whose directions are torch.nn.Linear's.
NamedTensors new_dino_head(const std::string& prefix, int64_t width, const DinoHeadSizes& sizes,
                           uint64_t seed);

}  // namespace ocelli
