// What a parameter's name says of its learning: weight decay or none, a smaller learning rate near
// the input, frozen. The rules are timm's param_groups_weight_decay and param_groups_layer_decay.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ocelli/models/trainable.h"
#include "ocelli/train/optimizer.h"

namespace ocelli {

// What learns of a model, in the order of its names.
std::vector<Parameter> parameters_of(const TrainableModel& model);

// The average of weights (optimizer.h) over what learns, and over the running statistics of batch
// norms, as timm's ModelEmaV3.
void update_average(const TrainableModel& average, const TrainableModel& model, double momentum);

// Patterns are of fnmatch(3), over the whole name: * for anything, ? for one letter, [abc].
struct GroupOptions {
  double layer_decay = 1;  // lr *= layer_decay ^ (layers above), BEiT (arXiv 2106.08254)
  std::vector<std::string> freeze = {}, no_decay = {};
  std::vector<std::pair<std::string, double>> lr_scale = {};  // pattern, factor
};

// Sets lr_scale, decay and frozen. No weight decay: tensors of at most one dimension (norms,
// biases), position embeddings, class, register, distillation and mask tokens, and no_decay.
// Throws invalid_argument naming a pattern that no parameter matches.
void set_groups(std::span<Parameter> parameters, const GroupOptions& options);

// The layer of each name from the input on: embeddings 0, block i of its tower i + 1, the final
// norm with the last block, heads one more. Names as timm, Hugging Face, open_clip and Meta have
// them; the towers of a model of images and texts count apart.
std::vector<int> layers_of(std::span<const Parameter> parameters);

}  // namespace ocelli
