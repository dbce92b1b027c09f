// Optimisers over named parameters, each step equal to the reference's: torch.optim.AdamW
// (Loshchilov and Hutter, arXiv 1711.05101) and SGD, timm.optim.Lars (arXiv 1708.03888, with the
// clipping of LARC) and Lion (arXiv 2302.06675).
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct Parameter {
  std::string name;
  Tensor value;  // f32, contiguous; updated in place
  double lr_scale = 1;
  bool decay = true;  // weight decay applies
  bool frozen = false;
  int64_t lr_from = 0;  // its first steps, for which the learning rate is 0 and moments are kept
  int clip_group = 0;   // of clip_grad_norm
};

struct AdamW {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};
struct Sgd {
  double momentum = 0, dampening = 0;
  bool nesterov = false;
};
struct Lars {
  Sgd sgd = {.momentum = 0.9};
  double trust_coefficient = 0.001, eps = 1e-8;
  bool trust_clip = false;    // LARC: never more than the learning rate
  bool always_adapt = false;  // also where there is no weight decay
};
struct Lion {
  double beta1 = 0.9, beta2 = 0.99;
};
using Method = std::variant<AdamW, Sgd, Lars, Lion>;

// What a schedule changes from step to step.
struct StepSizes {
  double lr = 0, weight_decay = 0;
};

class Optimizer {
 public:
  // Throws invalid_argument naming a parameter that is not f32 or not contiguous, or a name that
  // comes twice, or a number of the method that is out of range.
  Optimizer(std::vector<Parameter> parameters, const Method& method);

  // One gradient a parameter, in order; an undefined one, and a frozen parameter, leave parameter
  // and state as they are. The parameter's lr is lr * lr_scale.
  void step(std::span<const Tensor> gradients, const StepSizes& sizes);

  std::span<const Parameter> parameters() const { return parameters_; }

  // The moments and step counts as safetensors, bit for bit: NAME.exp_avg and so on, as PyTorch
  // names them. load() throws corrupt_data naming the file and the tensor that does not fit these
  // parameters and this method; nothing is changed then.
  void save(const std::filesystem::path& file) const;
  void load(const std::filesystem::path& file);

 private:
  struct State {
    int64_t step = 0;
    Tensor first, second;  // undefined until the parameter's first step, or where not needed
  };
  void update(const Parameter& parameter, State& state, const Tensor& gradient,
              const StepSizes& sizes) const;

  std::vector<Parameter> parameters_;
  Method method_;
  std::vector<State> states_;
};

// The norm of all gradients as one vector, and gradients *= min(1, max_norm / (norm + 1e-6)), as
// torch.nn.utils.clip_grad_norm_; where there are several clip groups, each by its own norm.
// Summed in double in one order, whatever the number of threads and the instruction set. Throws
// corrupt_data naming the first gradient with NaN or infinity.
double clip_grad_norm(std::span<const Parameter> parameters, std::span<const Tensor> gradients,
                      double max_norm);

// The name of the first tensor that holds NaN or infinity; undefined tensors are passed over.
std::optional<std::string_view> first_non_finite(std::span<const Parameter> parameters,
                                                 std::span<const Tensor> tensors);

// average = momentum * average + (1 - momentum) * parameters, tensor by tensor. Throws
// invalid_argument unless names and shapes agree.
void update_average(std::span<const Parameter> average, std::span<const Parameter> parameters,
                    double momentum);

}  // namespace ocelli
