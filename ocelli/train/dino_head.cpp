#include "ocelli/train/dino_head.h"

#include <cmath>

#include "ocelli/nn/init.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"

namespace ocelli {
namespace {

Linear linear_of(const Weights& w) {
  const Tensor weight = w.get("weight");
  check(weight.rank() == 2, "{}: {}.weight is {}", w.path(), w.prefix(), weight.shape());
  return Linear(weight, w.get("bias", {weight.size(0)}));
}

}  // namespace

DinoHead::DinoHead(const Weights& w)
    : fc1(linear_of(w / "mlp.0")), fc2(linear_of(w / "mlp.2")), fc3(linear_of(w / "mlp.4")) {
  const Tensor direction = w.get("last_layer.weight_v");
  const Tensor length = w.get("last_layer.weight_g", {direction.size(0), 1});
  last_layer = Linear(normalize(direction) * length, {});
}

Tensor DinoHead::operator()(const Tensor& x) const {
  const Tensor hidden = fc2(fc1(x, {.activation = Unary::gelu}), {.activation = Unary::gelu});
  return last_layer(normalize(fc3(hidden)));
}

NamedTensors new_dino_head(const std::string& prefix, int64_t width, const DinoHeadSizes& sizes,
                           uint64_t seed) {
  constexpr float kDeviation = 0.02f;
  NamedTensors head;
  Rng rng(seed);
  const auto add = [&](const char* name, int64_t in, int64_t out) {
    head[fmt::format("{}.{}.weight", prefix, name)] = random_normal({out, in}, kDeviation, rng);
    head[fmt::format("{}.{}.bias", prefix, name)] = Tensor::zeros({out});
  };
  add("mlp.0", width, sizes.hidden);
  add("mlp.2", sizes.hidden, sizes.hidden);
  add("mlp.4", sizes.hidden, sizes.bottleneck);
  const Tensor prototypes = Tensor::empty({sizes.prototypes, sizes.bottleneck});
  const float bound = 1 / std::sqrt(static_cast<float>(sizes.bottleneck));
  for (float& x : prototypes.values<float>()) x = bound * (2 * rng.uniform() - 1);
  head[prefix + ".last_layer.weight_v"] = prototypes;
  head[prefix + ".last_layer.weight_g"] = Tensor::full({sizes.prototypes, 1}, 1);
  return head;
}

}  // namespace ocelli
