// DINOv2's self-supervised training (Oquab et al., arXiv 2304.07193) of a model folder, on images
// without labels.
#pragma once

#include "ocelli/train/trainer.h"

namespace ocelli {

struct SelfsupData {
  std::shared_ptr<const Dataset> train;  // labels do not count
  std::shared_ptr<const Dataset> test;   // or null: labelled images to measure on
};

// As the recipe's `selfsup` says, with DINOv2's schedules: the recipe's learning rate with its
// warm-up, then a cosine to `schedule.last`. Of `augment` nothing counts: views are multi_crop's.
// Measures after each epoch, as test_knn, which share of the test images the 20 nearest others
// classify rightly by the teacher's embeddings (arXiv 1805.01978). A checkpoint has the teacher's
// model folder in teacher/ and the heads in training/. Throws unsupported for a model without a
// mask token, and invalid_argument for a recipe that cannot be followed, naming the key.
Trained train_selfsup(TrainableModel& model, const SelfsupData& data, const TrainRecipe& recipe,
                      const TrainOptions& options);

}  // namespace ocelli
