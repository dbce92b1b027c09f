// Contrastive training where the towers are folders of their own and do not learn: what they make
// of each image and text is computed once, and a step runs the projections alone. Locked towers:
// Zhai et al., LiT, arXiv 2111.07991.
#pragma once

#include "ocelli/train/contrastive.h"

namespace ocelli {

// CLIP's loss over the captions and, where recipe.classes.weight w is not 0,
//
//   + w * cross_entropy(scale * cos(image(f), text(classes)), softmax(h(f))),
//
// where h is the image tower's own classifier and f features of images in `data` and in
// recipe.classes.images, every other one moved towards a class: relu(u f + a |f| h_c / |h_c|) for
// a row h_c of the classifier, u of [0, 1) and a of [0.15, 0.6). So names of classes that no image
// at hand shows find their place, too. With classes.as_hidden the hidden layer of images begins as
// h and what follows as the texts of its classes. With recipe.projections.ridge a regression
// (ridge.h) is fitted before the first step and stands beside what learns, which does not see it.
// Measures what train_contrastive does. Throws unsupported for classes where the image tower has no
// classifier of named ones.
Trained train_projections(TrainableModel& model, const CaptionData& data,
                          const Tokenizer& tokenizer, const TrainRecipe& recipe,
                          const TrainOptions& options);

}  // namespace ocelli
