// Weights in 8 or 4 bits as a checkpoint holds them (docs/quantisation.md).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ocelli/formats/safetensors.h"

namespace ocelli {

// How a weight [N, ...] is held; K is the product of its other dimensions.
//   8 bits: NAME i8 of the weight's shape, NAME.step f32 [N]; weight = step * NAME
//   4 bits: NAME u8 [N, ceil(K / 2)], the first of two numbers in the lower half of a byte,
//           NAME.step bf16 [N, ceil(K / group)]; weight = step * (number - 8)
struct Quantized {
  int bits = 8;
  int64_t group = 32;  // of 4 bits
  Shape shape;         // of the weight
};
using QuantizedWeights = std::map<std::string, Quantized, std::less<>>;

// The two tensors of an f32 weight, which must be finite. Of 8 bits, the largest number of a row
// becomes 127 or -127; of 4 bits, the largest of a group -8.
std::vector<NamedTensor> quantized(const std::string& name, const Tensor& weight,
                                   const Quantized& as);

// `source` with the tensors `weights` in f32, and without their steps. Throws corrupt_data, naming
// the tensor, where one is missing or of another shape or type.
std::shared_ptr<const TensorSource> dequantized(std::shared_ptr<const TensorSource> source,
                                                QuantizedWeights weights);

}  // namespace ocelli
