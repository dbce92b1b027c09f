// Opens a model by the name a user gives it: a folder, a checkpoint file, `default`, or a hub id.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "ocelli/base/progress.h"
#include "ocelli/engine/packed_weights.h"
#include "ocelli/engine/precision.h"
#include "ocelli/models/registry.h"
#include "ocelli/text/tokenizer.h"

namespace ocelli {

struct OpenOptions {
  std::string precision = {};  // see choose_precision
  std::optional<std::array<int64_t, 2>> size =
      {};                         // height and width of images, not the model's own
  bool strict = false;            // tensors that the model does not use are an error
  bool tolerate_missing = false;  // missing tensors are zero and reported, for `ocelli info`
  Progress progress = {};         // of a download
  // Instead of the checkpoint's tensors, and of the precision alone: for `ocelli quantize`.
  std::shared_ptr<const TensorSource> weights = {};
  Weights::Packer packer = {};
  std::function<void(const Weights::Names&, const backend::Packed&)> keep = {};  // of Weights
};

// A model with what belongs to it. Const to use, from many threads at once.
class OpenModel {
 public:
  std::string name;  // as it was asked for
  const Family* family = nullptr;
  ModelFolder folder;
  std::unique_ptr<const Model> model;
  ImageProcessor processor;                // the model's, for input_size
  std::array<int64_t, 2> input_size = {};  // height and width; zero without an image tower
  WeightsReport weights;
  int64_t parameters = 0;
  PrecisionChoice precision;  // of its linear layers

  // Read when first asked for.
  const Tokenizer& tokenizer() const;

 private:
  mutable std::once_flag once_;
  mutable std::shared_ptr<const Tokenizer> tokenizer_;
};

// "384" or "HEIGHTxWIDTH". Throws invalid_argument for others and beyond 1 to 65536.
std::array<int64_t, 2> parse_size(const std::string& text);

// Tells models apart: a checksum of the names, shapes and first numbers of all weights and of the
// size of images. 16 hexadecimal digits.
std::string fingerprint(const OpenModel& opened);

// The name that finds it from any working directory: a model on disk by its whole path.
std::string lasting_name(const OpenModel& opened);

// What packed weights of an open model belong to.
PackedFor packed_for(const OpenModel& opened);

// `argument` is what hub::resolve takes.
std::shared_ptr<const OpenModel> open_model(const std::string& argument,
                                            const OpenOptions& options = {});

}  // namespace ocelli
