#include "ocelli/train/contrastive.h"

#include <numeric>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"

namespace ocelli {

Tensor contrastive_loss(const TrainableModel& model, const Tensor& images, const Tensor& texts) {
  check(images.rank() == 2 && images.shape() == texts.shape(),
        "contrastive_loss: images are {} and texts {}", images.shape(), texts.shape());
  const Tensor scale = exp(model.tensor("logit_scale"));
  const Tensor logits = matmul(normalize(images), normalize(texts).transpose(0, 1)) * scale;
  const int64_t count = images.size(0);
  if (model.tensors().contains("logit_bias")) {
    const Tensor same = Tensor::zeros({count, count});
    for (int64_t i = 0; i < count; ++i) same.data<float>()[i * count + i] = 1;
    return sigmoid_cross_entropy(logits + model.tensor("logit_bias"), same);
  }
  const Tensor own = Tensor::empty({count}, DType::i32);
  std::iota(own.data<int32_t>(), own.data<int32_t>() + count, 0);
  return (cross_entropy(logits, own) + cross_entropy(logits.transpose(0, 1), own)) * 0.5f;
}

}  // namespace ocelli
