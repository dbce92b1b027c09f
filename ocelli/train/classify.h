// Supervised training of a classifier: fine-tuning of a model folder on labelled images.
#pragma once

#include "ocelli/train/trainer.h"

namespace ocelli {

struct ClassifierData {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;  // or null
};

// Both as open_dataset takes them, by train_and_test(). The classes
// of `test` must be those of the training images, by name. Throws invalid_argument for one class
// alone, for an empty one and for test images of other classes.
ClassifierData open_classifier_data(const std::string& path, const std::string& test = {});

// The parts of train_classifier, of a model whose images `processor` cuts.
std::unique_ptr<Objective> classification(const ClassifierData& data, const TrainRecipe& recipe,
                                          const ImageProcessor& processor);
LoaderOptions classifier_loader(const ClassifierData& data, const TrainRecipe& recipe,
                                const ImageProcessor& processor);

// Trains on the crops that the recipe's `augment` describes, of the size of `processor`.
Trained train_classifier(TrainableModel& model, const ClassifierData& data,
                         const TrainRecipe& recipe, const TrainOptions& options);

}  // namespace ocelli
