// The loader of a recipe.
#pragma once

#include "ocelli/data/loader.h"
#include "ocelli/train/recipe.h"

namespace ocelli {

// Batches as the recipe's `batch`, `seed` and `augment` describe them, of images of the size and
// the normalisation of `processor`.
LoaderOptions training_loader(const TrainRecipe& recipe, const ImageProcessor& processor);
// Images in order, cut as for use: to measure on.
LoaderOptions test_loader(const TrainRecipe& recipe, const ImageProcessor& processor);

}  // namespace ocelli
