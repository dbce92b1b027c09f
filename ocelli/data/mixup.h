// Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899) of a batch with itself in reverse order,
// with timm's arguments, defaults and rules. https://github.com/huggingface/pytorch-image-models
#pragma once

#include <optional>
#include <vector>

#include "ocelli/base/rng.h"
#include "ocelli/image/resize.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct Mixup {
  enum class Mode { batch, elem };  // one draw for the whole batch, or one for each image

  double mixup_alpha = 1.0, cutmix_alpha = 0.0;  // of Beta(alpha, alpha); 0: never
  double prob = 1.0;                             // of mixing at all
  double switch_prob = 0.5;                      // of CutMix where both are on
  Mode mode = Mode::batch;
  double label_smoothing = 0.1;

  // What happens to one image: lam of it stays. CutMix pastes the window of the other; lam is then
  // the area that is left.
  struct Mix {
    double lam = 1;
    std::optional<Window> box = {};
  };
  // One for each of `batch` images, alike in mode batch.
  std::vector<Mix> sample(int64_t batch, int64_t height, int64_t width, Rng& rng) const;
  // Changes images [B, H, W, 3] f32 in place.
  void apply(const Tensor& images, const std::vector<Mix>& mixes) const;
  // Soft targets f32 [B, classes] of labels i32 [B]. Throws invalid_argument for a label outside.
  Tensor targets(const Tensor& labels, const std::vector<Mix>& mixes, int64_t classes) const;

 private:
  Mix sample_one(int64_t height, int64_t width, Rng& rng) const;
};

}  // namespace ocelli
