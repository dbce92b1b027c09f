// A model whose weights change: f32 copies of a checkpoint's tensors, under its own names. The
// model is built from them anew for every step, under that step's Tape, so that what a family's
// constructor makes of its weights is differentiated like everything else, and the file that runs
// a family is the file that trains it.
//
//   TrainableModel trained(ModelFolder::open(path));
//   Tape tape;
//   trained.watch(tape);
//   const Tensor loss = cross_entropy(trained.build()->classify(pixels), labels);
//   const Gradients gradients = tape.backward(loss);
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ocelli/models/registry.h"
#include "ocelli/ops/tape.h"

namespace ocelli {

// Low-rank adaptation (Hu et al., arXiv 2106.09685): a weight W [out, in] stays as it is, and
// W + (alpha / rank) B A stands in its place, with A [rank, in] and B [out, rank].
struct LoraOptions {
  int64_t rank = 8;
  double alpha = 8;
  // Of fnmatch(3), over the whole name; none: the queries and values of attention.
  std::vector<std::string> targets = {};
};

// Weights that stay in a folder: a checkpoint of what learns upon them does not have them.
struct FixedWeights {
  std::filesystem::path folder;
  std::string checksum;
};

// Of a batch norm: it follows the batches and has no gradient.
bool is_running_statistic(std::string_view tensor);

class TrainableModel {
 public:
  // Towers that are folders of their own (ModelFolder::towers) are left out: they do not learn.
  // Throws out_of_memory, and what find_family does.
  explicit TrainableModel(ModelFolder folder);

  const ModelFolder& folder() const { return folder_; }
  const Family& family() const { return *family_; }

  // Names of what can learn, sorted: floating-point tensors without the statistics of batch norms;
  // after add_lora, the A and B, and the classifier.
  const std::vector<std::string>& parameters() const { return parameters_; }
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  const Tensor& tensor(std::string_view name) const;  // throws not_found
  // The checkpoint's name of what the family calls `name`; empty when it has none.
  std::string name_of(std::string_view name) const;
  // A classifier for these classes: its own where the labels are the same, in this order, else a
  // new one of small random weights, and true. Throws unsupported for a model without a classifier.
  bool set_classes(const std::vector<std::string>& labels, uint64_t seed);
  // This classifier: weight [classes, D], bias [classes]. Throws unsupported for a model without
  // one of that width, or with two.
  void set_classifier(const std::vector<std::string>& labels, const Tensor& weight,
                      const Tensor& bias);
  // Another value, of any shape, for a tensor that is there.
  void replace(const std::string& name, const Tensor& value);

  // From here on the targets learn by A ("NAME.lora_A", uniform within 1 / sqrt(in)) and B (zeros)
  // alone, and of the rest the classifier learns. Throws invalid_argument naming a pattern that
  // matches no matrix, and unsupported for a model without queries and values.
  void add_lora(const LoraOptions& options, uint64_t seed);

  void watch(Tape& tape) const;

  std::unique_ptr<Model> build() const;

  // Into an existing folder: an ordinary model folder of the same layout, weights last. Products
  // B A are added to their weights; A and B themselves go into training/ besides.
  void save(const std::filesystem::path& folder) const;
  // The weights that save() wrote. Throws corrupt_data where they are not this model's.
  void load(const std::filesystem::path& folder);
  // What load() needs to be as it was: the targets of add_lora, towers that are folders.
  std::vector<FixedWeights> fixed_weights() const;

 private:
  void name_towers();
  void take_tensors();
  void set_labels(const std::vector<std::string>& labels);
  std::string checkpoint_name() const;
  std::vector<std::string> classifier() const;  // names of weights, those that there are
  std::map<std::string, Tensor, std::less<>> merged() const;

  ModelFolder folder_;
  const Family* family_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> parameters_;
  std::map<std::string, Tensor, std::less<>> lora_;  // A and B, by their names
  std::vector<std::string> lora_targets_;
  float lora_scale_ = 0;
};

}  // namespace ocelli
