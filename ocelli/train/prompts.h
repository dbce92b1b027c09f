// A few labelled images tell a CLIP its classes while all its weights stay as they are: context
// vectors before the classes' names (CoOp, Zhou et al., arXiv 2109.01134), and a cache of the
// images (Tip-Adapter, Zhang et al., arXiv 2111.03930). Images are rows of length 1.
#pragma once

#include <string>
#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/models/registry.h"
#include "ocelli/text/tokenizer.h"

namespace ocelli {

// Few enough to be computed once: images [N, E], their classes [N] i32.
struct Shots {
  Tensor images, classes;
};

struct Learning {
  int64_t epochs = 0, batch = 0;
  double lr = 0;
  uint64_t seed = 0;  // of the order of the images
  Progress progress = {};
};

struct Learnt {
  Tensor value;
  std::vector<float> losses;  // one a step
};

// A model through which gradients flow to a context; its own weights are the folder's.
std::unique_ptr<Model> open_for_context(const ModelFolder& folder);

// Texts with places for a context: ids [classes, T] i32, and mask [classes, T] u8, 1 where a token
// is.
struct PromptIds {
  Tensor ids, mask;
};

// Beginning, places for `count` vectors, "NAME.", end; padded as the model wants it. Throws
// invalid_argument naming a class that does not fit, and unsupported for a tokenizer that puts
// other than two tokens round a text.
PromptIds prompt_ids(const Model& model, const Tokenizer& tokenizer,
                     const std::vector<std::string>& names, int64_t count);

// Of length 1: the texts with the vectors `context` [M, C]. -> [classes, D]
Tensor context_texts(const Model& model, const PromptIds& prompts, const Tensor& context);

// scale * images @ context_texts^T -> [N, classes]
Tensor context_logits(const Model& model, const PromptIds& prompts, const Tensor& context,
                      const Tensor& images);

// CoOp's unified context from `start` on: SGD with momentum 0.9 and weight decay 5e-4; lr is 1e-5
// in the first epoch and falls by a cosine from epoch to epoch. `model` is of open_for_context.
Learnt learn_context(const Model& model, const PromptIds& prompts, const Tensor& start,
                     const Shots& shots, const Learning& learning);
constexpr double kContextRate = 0.002;
constexpr int64_t kContextBatch = 32;
// As many as the paper takes: 50 for one image a class, 100 for up to four, else 200.
int64_t context_epochs(int64_t shots);

struct ImageCache {
  Tensor keys, values;           // [N, E], and [N, classes] with a 1 for the class
  float alpha = 1, beta = 5.5f;  // the paper's
};
ImageCache make_cache(const Shots& shots, int64_t classes);

// zero_shot + alpha exp(-beta (1 - images @ keys^T)) @ values
Tensor cache_logits(const Tensor& images, const Tensor& zero_shot, const ImageCache& cache);

// alpha and beta from a grid of 20 by 20 up to 3 and 7, those that most of the shots are answered
// rightly with, each without its own key; the paper's where none is better. `zero_shot` is of the
// shots.
void choose_sharpness(ImageCache& cache, const Shots& shots, const Tensor& zero_shot);

// Tip-Adapter-F: the keys learn by AdamW (eps 1e-4, weight decay 0.01), lr falls by a cosine from
// step to step. -> keys
Learnt learn_keys(const ImageCache& cache, const Shots& shots, const Tensor& zero_shot,
                  const Learning& learning);
constexpr double kKeyRate = 0.001;
constexpr int64_t kKeyBatch = 256, kKeyEpochs = 20;

}  // namespace ocelli
