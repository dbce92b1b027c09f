#include "ocelli/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "ocelli/base/threads.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/update.h"

namespace ocelli {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements worth waking a thread for
constexpr int64_t kBlock = 1 << 16;  // elements whose squares are one sum

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>  // clang 14 cannot derive it
Overloaded(Fs...)->Overloaded<Fs...>;

struct MethodInfo {
  const char* name;            // as options and files have it
  const char *first, *second;  // PyTorch's names of the state
};

const MethodInfo& info_of(const Method& method) {
  static constexpr MethodInfo kInfos[] = {{"adamw", "exp_avg", "exp_avg_sq"},
                                          {"sgd", "momentum_buffer", nullptr},
                                          {"lars", "momentum_buffer", nullptr},
                                          {"lion", "exp_avg", nullptr}};
  return kInfos[method.index()];
}

// Tensors of a parameter's state.
int moments(const Method& method) {
  return std::visit(Overloaded{[](const AdamW&) { return 2; },
                               [](const Sgd& m) { return m.momentum != 0 ? 1 : 0; },
                               [](const Lars& m) { return m.sgd.momentum != 0 ? 1 : 0; },
                               [](const Lion&) { return 1; }},
                    method);
}

void check_unit(double value, std::string_view name) {
  check(value >= 0 && value < 1, "optimizer: {} is {}, not in [0, 1)", name, value);
}

void check_method(const Method& method) {
  const auto check_sgd = [](const Sgd& m) {
    check(m.momentum >= 0, "optimizer: momentum is {}, below 0", m.momentum);
    check(!m.nesterov || (m.momentum > 0 && m.dampening == 0),
          "optimizer: nesterov needs momentum and no dampening");
  };
  const auto check_betas = [](const auto& m) {
    check_unit(m.beta1, "beta1");
    check_unit(m.beta2, "beta2");
  };
  std::visit(
      Overloaded{[&](const AdamW& m) { check_betas(m); }, check_sgd,
                 [&](const Lars& m) { check_sgd(m.sgd); }, [&](const Lion& m) { check_betas(m); }},
      method);
}

float* floats(const Tensor& t) {
  return t.data<float>();
}

float narrow(double x) {
  return static_cast<float>(x);
}

// The sum over all elements in an order that depends on their number alone.
double sum_of_squares(const Tensor& t) {
  const int64_t n = t.numel(), blocks = (n + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<size_t>(blocks));
  parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t at = b * kBlock;
      sums[static_cast<size_t>(b)] =
          update::sum_of_squares(std::min(kBlock, n - at), floats(t) + at);
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

double norm(const Tensor& t) {
  return std::sqrt(sum_of_squares(t));
}

void apply(const AdamW& method, int64_t step, double lr, double weight_decay, const Tensor& value,
           const Tensor& gradient, const Tensor& first, const Tensor& second) {
  const auto steps = static_cast<double>(step);
  const update::AdamW c = {
      .decay = narrow(1 - lr * weight_decay),
      .one_minus_beta1 = narrow(1 - method.beta1),
      .beta2 = narrow(method.beta2),
      .one_minus_beta2 = narrow(1 - method.beta2),
      .correction = narrow(std::sqrt(1 - std::pow(method.beta2, steps))),
      .eps = narrow(method.eps),
      .step_size = narrow(lr / (1 - std::pow(method.beta1, steps))),
  };
  parallel_for(value.numel(), kGrain, [&](int64_t begin, int64_t end) {
    update::adamw(c, end - begin, floats(value) + begin, floats(gradient) + begin,
                  floats(first) + begin, floats(second) + begin);
  });
}

void apply(const Sgd& method, bool is_first, double lr, double weight_decay, double scale,
           const Tensor& value, const Tensor& gradient, const Tensor& buffer) {
  const update::Sgd c = {.weight_decay = narrow(weight_decay),
                         .scale = narrow(scale),
                         .momentum = narrow(method.momentum),
                         .one_minus_dampening = narrow(1 - method.dampening),
                         .lr = narrow(lr),
                         .nesterov = method.nesterov,
                         .first = is_first};
  parallel_for(value.numel(), kGrain, [&](int64_t begin, int64_t end) {
    update::sgd(c, end - begin, floats(value) + begin, floats(gradient) + begin,
                buffer.defined() ? floats(buffer) + begin : nullptr);
  });
}

void apply(const Lion& method, double lr, double weight_decay, const Tensor& value,
           const Tensor& gradient, const Tensor& mean) {
  const update::Lion c = {.decay = narrow(1 - lr * weight_decay),
                          .one_minus_beta1 = narrow(1 - method.beta1),
                          .one_minus_beta2 = narrow(1 - method.beta2),
                          .lr = narrow(lr)};
  parallel_for(value.numel(), kGrain, [&](int64_t begin, int64_t end) {
    update::lion(c, end - begin, floats(value) + begin, floats(gradient) + begin,
                 floats(mean) + begin);
  });
}

// trust |p| / (|g| + weight_decay |p| + eps); 1 where either norm is 0.
double trust_ratio(const Lars& method, double lr, double weight_decay, const Tensor& value,
                   const Tensor& gradient) {
  if (weight_decay == 0 && !method.always_adapt) return 1;
  const double p = norm(value), g = norm(gradient);
  double ratio = 1;
  if (p > 0 && g > 0) {
    ratio = method.trust_coefficient * p / (g + weight_decay * p + method.eps);
  }
  return method.trust_clip ? std::min(ratio / lr, 1.0) : ratio;
}

}  // namespace

Optimizer::Optimizer(std::vector<Parameter> parameters, const Method& method)
    : parameters_(std::move(parameters)), method_(method), states_(parameters_.size()) {
  check_method(method_);
  std::set<std::string_view> names;
  for (const Parameter& p : parameters_) {
    check(names.insert(p.name).second, "optimizer: parameter {} comes twice", p.name);
    check(p.value.defined() && p.value.dtype() == DType::f32 && p.value.is_contiguous(),
          "optimizer: parameter {} is not a contiguous f32 tensor", p.name);
  }
}

void Optimizer::step(std::span<const Tensor> gradients, const StepSizes& sizes) {
  check(gradients.size() == parameters_.size(), "optimizer: {} gradients for {} parameters",
        gradients.size(), parameters_.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Parameter& p = parameters_[i];
    if (!gradients[i].defined() || p.frozen) continue;
    check(gradients[i].shape() == p.value.shape() && gradients[i].dtype() == DType::f32,
          "optimizer: the gradient of {} is {} {}, the parameter f32 {}", p.name,
          gradients[i].dtype(), gradients[i].shape(), p.value.shape());
    update(p, states_[i], contiguous(gradients[i]), sizes);
  }
}

void Optimizer::update(const Parameter& parameter, State& state, const Tensor& gradient,
                       const StepSizes& sizes) const {
  const Tensor& value = parameter.value;
  const double lr = state.step < parameter.lr_from ? 0 : sizes.lr * parameter.lr_scale;
  const double weight_decay = parameter.decay ? sizes.weight_decay : 0;
  if (++state.step == 1) {
    if (moments(method_) > 0) state.first = Tensor::zeros(value.shape());
    if (moments(method_) > 1) state.second = Tensor::zeros(value.shape());
  }
  const auto sgd = [&](const Sgd& method, double scale) {
    apply(method, state.step == 1, lr, weight_decay, scale, value, gradient, state.first);
  };
  std::visit(Overloaded{[&](const AdamW& method) {
                          apply(method, state.step, lr, weight_decay, value, gradient, state.first,
                                state.second);
                        },
                        [&](const Sgd& method) { sgd(method, 1); },
                        [&](const Lars& method) {
                          sgd(method.sgd, trust_ratio(method, lr, weight_decay, value, gradient));
                        },
                        [&](const Lion& method) {
                          apply(method, lr, weight_decay, value, gradient, state.first);
                        }},
             method_);
}

void Optimizer::save(const std::filesystem::path& file) const {
  const MethodInfo& info = info_of(method_);
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < states_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    const State& state = states_[i];
    if (state.step == 0) continue;
    tensors.push_back({name + ".step", Tensor::from(std::span(&state.step, 1), {})});
    if (state.first.defined()) tensors.push_back({name + "." + info.first, state.first});
    if (state.second.defined()) tensors.push_back({name + "." + info.second, state.second});
  }
  write_safetensors(file, tensors, {{"format", "pt"}, {"optimizer", info.name}});
}

void Optimizer::load(const std::filesystem::path& file) {
  const MethodInfo& info = info_of(method_);
  const Safetensors saved(file);
  const auto found = saved.metadata().find("optimizer");
  if (found == saved.metadata().end() || found->second != info.name) {
    fail(ErrorCode::corrupt_data, "{}: holds the state of {}, not of {}", saved.path(),
         found == saved.metadata().end() ? "no optimizer" : found->second, info.name);
  }
  size_t used = 0;
  const auto read = [&](const std::string& name, const Shape& shape, DType dtype) {
    const auto entry = std::ranges::find(saved.tensors(), name, &TensorInfo::name);
    if (entry == saved.tensors().end()) {
      fail(ErrorCode::corrupt_data, "{}: {} is missing", saved.path(), name);
    }
    if (entry->shape != shape || entry->dtype != dtype) {
      fail(ErrorCode::corrupt_data, "{}: {} is {} {}, not {} {}", saved.path(), name, entry->dtype,
           entry->shape, dtype, shape);
    }
    ++used;
    const Tensor mapped = saved.load(name), own = Tensor::empty(shape, dtype);
    std::memcpy(own.raw(), mapped.raw(), own.nbytes());
    return own;
  };
  std::vector<State> states(parameters_.size());
  for (size_t i = 0; i < states.size(); ++i) {
    const Parameter& p = parameters_[i];
    // One that has never had a gradient has no state.
    if (std::ranges::count(saved.tensors(), p.name + ".step", &TensorInfo::name) == 0) continue;
    State& state = states[i];
    state.step = *read(p.name + ".step", {}, DType::i64).data<int64_t>();
    const auto read_moment = [&](const char* name) {
      return read(p.name + "." + name, p.value.shape(), DType::f32);
    };
    if (moments(method_) > 0) state.first = read_moment(info.first);
    if (moments(method_) > 1) state.second = read_moment(info.second);
  }
  if (used != saved.tensors().size()) {
    fail(ErrorCode::corrupt_data, "{}: {} of its {} tensors belong to no parameter of this model",
         saved.path(), saved.tensors().size() - used, saved.tensors().size());
  }
  states_ = std::move(states);
}

std::optional<std::string_view> first_non_finite(std::span<const Parameter> parameters,
                                                 std::span<const Tensor> tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].defined()) continue;
    // The square of a float is finite in double, and so is any sum of such that memory holds.
    if (!std::isfinite(sum_of_squares(contiguous(tensors[i])))) return parameters[i].name;
  }
  return std::nullopt;
}

double clip_grad_norm(std::span<const Parameter> parameters, std::span<const Tensor> gradients,
                      double max_norm) {
  check(max_norm > 0, "clip_grad_norm: max_norm is {}, not above 0", max_norm);
  double all = 0;
  std::map<int, double> sums;  // of each group
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    check(gradients[i].is_contiguous(), "clip_grad_norm: the gradient of {} is not contiguous",
          parameters[i].name);
    const double part = sum_of_squares(gradients[i]);
    if (!std::isfinite(part)) {
      fail(ErrorCode::corrupt_data, "the gradient of {} holds NaN or infinity", parameters[i].name);
    }
    all += part;
    sums[parameters[i].clip_group] += part;
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor& g = gradients[i];
    if (!g.defined()) continue;
    const double factor = max_norm / (std::sqrt(sums[parameters[i].clip_group]) + 1e-6);
    if (factor >= 1) continue;
    parallel_for(g.numel(), kGrain, [&](int64_t begin, int64_t end) {
      update::scale(narrow(factor), end - begin, floats(g) + begin);
    });
  }
  return std::sqrt(all);
}

void update_average(std::span<const Parameter> average, std::span<const Parameter> parameters,
                    double momentum) {
  check(average.size() == parameters.size(), "update_average: {} tensors for {} parameters",
        average.size(), parameters.size());
  for (size_t i = 0; i < average.size(); ++i) {
    const Tensor &into = average[i].value, &from = parameters[i].value;
    check(average[i].name == parameters[i].name && into.shape() == from.shape() &&
              into.is_contiguous() && from.is_contiguous(),
          "update_average: {} {} does not match {} {}", average[i].name, into.shape(),
          parameters[i].name, from.shape());
    parallel_for(into.numel(), kGrain, [&](int64_t begin, int64_t end) {
      update::average(narrow(momentum), narrow(1 - momentum), end - begin, floats(into) + begin,
                      floats(from) + begin);
    });
  }
}

}  // namespace ocelli
