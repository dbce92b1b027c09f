// A model's folder in fewer bits (docs/quantisation.md).
#pragma once

#include <filesystem>

#include "ocelli/engine/open.h"

namespace ocelli {

struct QuantizeOptions {
  backend::Precision precision = backend::Precision::int8;  // int8, int4 or bf16
  int64_t group = 32;                                       // of int4: 32 or 128
  // Images that show what goes through the layers. int8 moves scales that only some channels of a
  // norm have into the weights (SmoothQuant, Xiao et al., arXiv 2211.10438), and the loss is
  // measured.
  std::vector<std::string> calibration = {};
  // int8: the inputs of a layer have the range that they had on the calibration images, and not
  // each row its own. A little faster, and what lies outside is cut off.
  bool fixed_ranges = false;
  // Quantises each layer alone, and keeps in bf16 the fewest, by their loss, with which the worst
  // cosine of the calibration images is `target`. Needs calibration.
  bool search = false;
  double target = 0.995;
  Progress progress = {};
};

struct QuantizeResult {
  Quantization quantization;
  int64_t bytes = 0;  // of the tensors written
};

// Writes the folder `output`, which must not hold weights: model.safetensors, config.json with the
// quantisation's block, and the other texts of the model at `input`. Cosines are of logits, or of
// embeddings where there is no classifier. Throws invalid_argument for options that do not fit
// each other or a model that is quantised already.
QuantizeResult quantize(const std::filesystem::path& input, const std::filesystem::path& output,
                        const QuantizeOptions& options);

}  // namespace ocelli
