// What a CLIP learns about its classes from a few images of each, beside what it knows from their
// names alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ocelli/engine/few_shot.h"

namespace ocelli {

struct PromptOptions {
  int64_t shots = 16;                  // labelled images a class
  int64_t episodes = 3;                // random choices of them
  int64_t context = 16;                // vectors that CoOp learns
  int64_t epochs = 0;                  // of CoOp; 0: context_epochs
  std::vector<std::string> templates;  // of the ensemble
  uint64_t seed = 0;
  RunOptions train = {}, test = {};
  Progress progress = {};  // of learning
};

struct PromptResult {
  int64_t train = 0, count = 0;  // images known and asked in an episode
  std::vector<std::string> labels;
  Estimate single, ensemble, context, cache, learnt_cache;  // shares of right answers
  std::vector<ItemError> errors;
  // Of the first episode.
  Tensor context_vectors;               // [M, C]
  Tensor texts;                         // [classes, D], of the ensemble
  Tensor keys, learnt_keys, values;     // [N, D], [N, D], [N, classes]
  float alpha = 0, beta = 0;            // of both caches
  float first_loss = 0, last_loss = 0;  // of the context
};

constexpr const char* kSingleTemplate = "a photo of a {}.";

// Throws unsupported for a model without two towers, with a sigmoid in place of a softmax, or whose
// texts take no context.
void check_learns_prompts(const OpenModel& opened);

// Zero-shot by kSingleTemplate and by the ensemble, and what learn_context, choose_sharpness and
// learn_keys (train/prompts.h) make of the drawn images; the caches stand beside the ensemble.
// Without `test`, the images that an episode leaves are asked. Throws what check_learns_prompts()
// throws, and invalid_argument as run_probe does.
PromptResult learn_prompts(const OpenModel& opened, const ClassImages& train,
                           const std::optional<ClassImages>& test, const PromptOptions& options);

}  // namespace ocelli
