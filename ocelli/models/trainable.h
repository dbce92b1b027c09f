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

class TrainableModel {
 public:
  // Towers that are folders of their own (ModelFolder::towers) are left out: they do not learn.
  // Throws out_of_memory, and what find_family does.
  explicit TrainableModel(ModelFolder folder);

  const ModelFolder& folder() const { return folder_; }
  const Family& family() const { return *family_; }

  // Names of what can learn, sorted: floating-point tensors without the statistics of batch norms.
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

  void watch(Tape& tape) const;

  std::unique_ptr<Model> build() const;

  // Into an existing folder: an ordinary model folder of the same layout, weights last.
  void save(const std::filesystem::path& folder) const;
  // The weights that save() wrote. Throws corrupt_data where they are not this model's.
  void load(const std::filesystem::path& folder);

 private:
  void name_towers();
  void take_tensors();
  void set_labels(const std::vector<std::string>& labels);
  std::string checkpoint_name() const;

  ModelFolder folder_;
  const Family* family_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> parameters_;
};

}  // namespace ocelli
