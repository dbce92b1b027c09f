// What `ocelli quantize` writes into config.json, under "quantization_config": which weights are
// held in fewer bits, and what is to be computed in which precision (docs/quantisation.md).
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/backend/backend.h"
#include "ocelli/formats/quantized.h"

namespace ocelli {

class Config;

struct Quantization {
  backend::Precision precision = backend::Precision::int8;  // int8, int4 or bf16
  int64_t group = 32;                                       // of int4
  QuantizedWeights weights;                                 // in that precision
  // Weights in bf16 instead, with the cosine of the model's answers when each alone was quantised.
  std::vector<std::pair<std::string, double>> kept;
  // int8: weights whose inputs have one range, which calibration found; others take the range of
  // each row.
  struct Input {
    float low, high;
    std::shared_ptr<const backend::Backend> packer;
  };
  std::map<std::string, Input> inputs;
  int64_t images = 0, smoothed = 0;          // of the calibration; norms that took over scales
  double mean_cosine = 0, worst_cosine = 0;  // of the answers to these images

  nlohmann::ordered_json to_json() const;
  void set_input(const std::string& name, float low, float high);
  // The backend that packs a weight when the model is opened as it was quantised.
  const backend::Backend& packer(const std::string& name) const;
  // And one of `weights`.
  const backend::Backend& narrow(const std::string& name) const;
  // What norms, and weights that are not quantised, are packed for.
  static const backend::Backend& higher();
};

// Of a configuration that has the block. Throws corrupt_data for a block that is damaged,
// unsupported for the method of another program.
std::optional<Quantization> read_quantization(const Config& config);

}  // namespace ocelli
