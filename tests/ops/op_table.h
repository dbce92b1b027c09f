// One entry an op: from it come the checks against backend/reference over sizes 0..2N and odd
// strides, on every instruction set. An op that is not here is not tested: op_table_test counts
// them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ocelli/base/rng.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli::test {

// Makes inputs whose memory is compact or not, by turns.
class Inputs {
 public:
  explicit Inputs(uint64_t seed) : rng_(seed) {}

  // Values in [low, high), f32. Every second tensor is a view with odd strides.
  Tensor uniform(const Shape& shape, float low = -1, float high = 1);
  Tensor indices(const Shape& shape, int32_t limit);
  int64_t pick(int64_t low, int64_t high);  // in [low, high]
  bool coin() { return pick(0, 1) == 1; }

  // uniform() watches what it makes, adds `step` times a direction to it, and keeps both.
  struct Made {
    Tensor value, direction;
  };
  void differentiate(Tape& tape) { tape_ = &tape; }
  void move(float step) { step_ = step; }
  const std::vector<Made>& made() const { return made_; }

 private:
  Rng rng_;
  Tape* tape_ = nullptr;
  float step_ = 0;
  std::vector<Made> made_;
};

struct OpCase {
  const char* name;
  // Runs the op on inputs of about size n; the same calls on Inputs for the same seed.
  std::function<Tensor(Inputs& inputs, int64_t n)> call;
  int64_t max_size = 40;    // sizes 0..max_size
  float tolerance = 2e-5f;  // relative to the largest expected value
  bool has_gradient = true;
};

const std::vector<OpCase>& op_table();

}  // namespace ocelli::test
