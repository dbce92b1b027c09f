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

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ocelli/models/registry.h"
#include "ocelli/ops/tape.h"

namespace ocelli {

class TrainableModel {
 public:
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
  // Another tensor in its place, e.g. a head for other classes, or a new one.
  void set(const std::string& name, const Tensor& tensor);

  void watch(Tape& tape) const;

  std::unique_ptr<Model> build() const;

 private:
  void take_tensors();

  ModelFolder folder_;
  const Family* family_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> parameters_;
};

}  // namespace ocelli
