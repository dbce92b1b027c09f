// Losses of two-tower models, on normalised embeddings and the model's own learnt scale.
#pragma once

#include "ocelli/models/trainable.h"

namespace ocelli {

// images, texts [B, E], a pair a row. CLIP's symmetric cross entropy over the batch (Radford et
// al., arXiv 2103.00020); SigLIP's sigmoid loss (Zhai et al., arXiv 2303.15343) where the model has
// a logit_bias. Throws not_found for a model without logit_scale.
Tensor contrastive_loss(const TrainableModel& model, const Tensor& images, const Tensor& texts);

}  // namespace ocelli
