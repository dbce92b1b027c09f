// The loop of training: a batch, its loss under a Tape, a step of the optimiser; in a run folder
// that is taken up again bit for bit.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/backend/backend.h"
#include "ocelli/base/progress.h"
#include "ocelli/base/ranks.h"
#include "ocelli/data/loader.h"
#include "ocelli/models/trainable.h"
#include "ocelli/train/metrics.h"
#include "ocelli/train/recipe.h"

namespace ocelli {

// What a model is to learn.
class Objective {
 public:
  virtual ~Objective() = default;
  // What learns beside the model, such as heads; updated in place.
  virtual std::vector<Parameter> parameters() const { return {}; }
  // Learning rate and weight decay of a step, from 0 on, where they are not the recipe's `usual`.
  virtual StepSizes sizes(int64_t step, const StepSizes& usual) const {
    (void)step;
    return usual;
  }
  // Of several ranks each computes its part of a batch, or where this is true, all of it.
  virtual bool takes_whole_batches() const { return false; }
  // The mean loss of a batch, one number. `model` is built from `trained` under the Tape.
  virtual Tensor loss(const TrainableModel& trained, const Model& model, const Batch& batch,
                      int64_t step) = 0;
  // What the latest loss was made of, to be logged beside it; of several ranks, the mean is.
  virtual std::vector<Metric> parts() const { return {}; }
  // After the optimiser's step: what keeps a weight within bounds, what follows the weights.
  virtual void after_step(const TrainableModel& trained, int64_t step) {
    (void)trained;
    (void)step;
  }
  // After each epoch: what is measured on images that are not learnt from; `model` is built to run.
  virtual std::vector<Metric> evaluate(const Model& model) const = 0;
  // The metric that says which checkpoint is best; empty: none.
  virtual std::string best() const { return {}; }
  // What a run needs besides to go on: into a checkpoint's folder, and out of it.
  virtual void save(const std::filesystem::path& folder) const { (void)folder; }
  virtual void load(const std::filesystem::path& folder) { (void)folder; }
  // What it reads besides and does not save, such as a teacher: a run goes on with the same alone.
  virtual std::vector<FixedWeights> fixed_weights() const { return {}; }
};

struct TrainOptions {
  std::filesystem::path output;  // the run folder
  bool resume = false;
  backend::Precision precision = backend::Precision::f32;  // of matrix products
  std::string config;      // all of config.toml; a run is resumed with the same
  Progress progress = {};  // in steps
  // Of several, rank 0 writes the run and measures.
  const Ranks& ranks = ocelli::ranks();
};

struct Trained {
  int64_t steps = 0;
  std::vector<Metric> last;          // the latest value of each metric
  std::vector<BadSample> bad;        // samples that could not be read
  std::filesystem::path checkpoint;  // the best where there is one, else the last
};

// Of an epoch. Throws invalid_argument for a batch larger than the data, and where it is not known
// how many those are.
int64_t steps_per_epoch(const Dataset& dataset, const LoaderOptions& loading);

// What of each batch is this rank's. Throws invalid_argument for a batch that does not divide.
LoaderOptions part_of_rank(LoaderOptions loading, const Ranks& ranks);

// Trains `model` in place. A checkpoint is an ordinary model folder with training/ in it, of the
// averaged weights beside the learnt ones where the recipe keeps an average. When a stop is asked
// for, a checkpoint is written and cancelled is thrown. Throws corrupt_data when the loss or a
// gradient is NaN or infinite, naming the step and the first tensor; the last checkpoint stays.
Trained train(TrainableModel& model, Objective& objective, std::shared_ptr<const Dataset> dataset,
              LoaderOptions loading, const TrainRecipe& recipe, const TrainOptions& options);

}  // namespace ocelli
