// What a model is: for people who have just been handed a folder.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "ocelli/engine/open.h"

namespace ocelli {

struct DescribeOptions {
  OpenOptions open = {};
  bool check = false;      // look for NaN and infinity in the weights
  Progress progress = {};  // of that
};

// What the checkpoint and its configuration files say.
struct CheckpointInfo {
  std::string path;
  std::string layout, type;  // ModelFolder's
  std::vector<TensorInfo> tensors;
  int64_t bytes = 0;                    // of the tensors
  std::vector<std::string> not_finite;  // tensors with NaN or infinity, when they were looked for
  nlohmann::ordered_json config = nlohmann::ordered_json::object();  // by the name of the file
};

// What the model makes of it. Sizes and labels are zero and empty where a model lacks the part.
struct ModelInfo {
  std::string family, accepts;
  int64_t parameters = 0, embedding = 0, depth = 0;
  std::array<int64_t, 2> input = {};  // height and width
  ImageProcessor processor;
  double image_gflops = 0, text_gflops = 0;  // of one forward
  int64_t classes = 0;
  std::vector<std::string> labels;
  int64_t context_length = 0;  // tokens of a text
  WeightsReport weights;
  PrecisionChoice precision;
};

struct Description {
  std::string name;  // as it was asked for
  CheckpointInfo checkpoint;
  std::optional<ModelInfo> model;
  std::optional<Error> problem;  // why there is no model
};

// A checkpoint that no family takes, or that does not fit its own configuration, is described all
// the same, with the problem. Throws what hub::resolve and ModelFolder::open throw.
Description describe(const std::string& argument, const DescribeOptions& options);

}  // namespace ocelli
