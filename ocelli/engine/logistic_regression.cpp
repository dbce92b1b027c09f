#include "ocelli/engine/logistic_regression.h"

#include <lbfgs.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <numeric>

#include "ocelli/base/progress.h"
#include "ocelli/base/threads.h"
#include "ocelli/data/random.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"

namespace ocelli {
namespace {

constexpr double kEpsilon = 1e-8;  // ends at |gradient| < kEpsilon * max(1, |W|)
constexpr int kIterations = 1000, kHistory = 10;

// Mean cross entropy + |W|^2 / (2 c N), which has the same minimum. The parameters are W row by
// row, then b.
class Loss {
 public:
  Loss(const Tensor& rows, const std::vector<int64_t>& class_of, int64_t classes, double c)
      : mean_(mean(rows, 0)),
        rows_(rows - mean_),
        class_of_(class_of),
        classes_(classes),
        decay_(1 / (c * static_cast<double>(rows.size(0)))),
        weight_(Tensor::empty({classes, rows.size(1)})),
        bias_(Tensor::empty({classes})) {}

  int64_t size() const { return weight_.numel() + classes_; }

  void set(const double* parameters) {
    std::copy_n(parameters, weight_.numel(), weight_.data<float>());
    std::copy_n(parameters + weight_.numel(), classes_, bias_.data<float>());
  }

  double operator()(const double* parameters, double* gradient) {
    throw_if_cancelled();
    set(parameters);
    const int64_t count = rows_.size(0);
    Tensor scores = linear(rows_, LinearWeight(weight_, bias_));
    std::vector<double> losses(static_cast<size_t>(count));
    parallel_for(count, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        losses[static_cast<size_t>(i)] =
            differentiate(scores.data<float>() + i * classes_, class_of_[static_cast<size_t>(i)]);
    });
    const Tensor weights = matmul(scores.transpose(0, 1), rows_);
    std::copy_n(weights.data<float>(), weights.numel(), gradient);
    double* bias = gradient + weights.numel();
    std::fill_n(bias, classes_, 0.0);
    for (int64_t i = 0; i < scores.numel(); ++i) bias[i % classes_] += scores.data<float>()[i];
    double square = 0;
    for (int64_t i = 0; i < weights.numel(); ++i) {
      gradient[i] += decay_ * parameters[i];
      square += parameters[i] * parameters[i];
    }
    return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(count) +
           decay_ / 2 * square;
  }

  LogisticRegression solution(double c) const {
    return {weight_, bias_ - matmul(weight_, mean_.view({mean_.numel(), 1})).view({classes_}), c};
  }

 private:
  // The cross entropy of one row; its scores become the gradient of the mean.
  double differentiate(float* scores, int64_t label) const {
    const double most = *std::max_element(scores, scores + classes_);
    double sum = 0;
    for (int64_t c = 0; c < classes_; ++c) sum += std::exp(scores[c] - most);
    const double loss = most + std::log(sum) - scores[label],
                 count = static_cast<double>(rows_.size(0));
    for (int64_t c = 0; c < classes_; ++c)
      scores[c] = static_cast<float>((std::exp(scores[c] - most) / sum - (c == label)) / count);
    return loss;
  }

  Tensor mean_, rows_;  // without their mean, which the biases make up for, it ends far sooner
  const std::vector<int64_t>& class_of_;
  int64_t classes_;
  double decay_;
  Tensor weight_, bias_;
};

// What liblbfgs calls; exceptions wait until it has returned.
struct Call {
  Loss& loss;
  std::exception_ptr error = {};
};

double evaluate(void* instance, const double* parameters, double* gradient, int, double) {
  auto& call = *static_cast<Call*>(instance);
  try {
    return call.loss(parameters, gradient);
  } catch (...) {
    call.error = std::current_exception();
    return 0;
  }
}

int proceed(void* instance, const double*, const double*, double, double, double, double, int, int,
            int) {
  return static_cast<Call*>(instance)->error ? 1 : 0;
}

}  // namespace

LogisticRegression fit_logistic_regression(const Tensor& rows, const std::vector<int64_t>& class_of,
                                           int64_t classes, double c) {
  check(rows.size(0) >= 2 && classes >= 2,
        "a linear probe learns from at least 2 images of 2 classes; here are {} of {}",
        rows.size(0), classes);
  check(c > 0, "a linear probe needs a c above 0, not {}", c);
  Loss loss(rows, class_of, classes, c);
  std::vector<double> parameters(static_cast<size_t>(loss.size()));
  lbfgs_parameter_t options;
  lbfgs_parameter_init(&options);
  options.m = kHistory;
  options.epsilon = kEpsilon;
  options.max_iterations = kIterations;
  Call call{loss};
  // It ends where rounding hides what is left to gain, too: no error here.
  lbfgs(static_cast<int>(parameters.size()), parameters.data(), nullptr, evaluate, proceed, &call,
        &options);
  if (call.error) std::rethrow_exception(call.error);
  loss.set(parameters.data());
  return loss.solution(c);
}

LogisticRegression fit_best_logistic_regression(const Tensor& rows,
                                                const std::vector<int64_t>& class_of,
                                                int64_t classes, uint64_t seed,
                                                const std::vector<double>& candidates) {
  const int64_t count = rows.size(0), held = count / 5;
  double best = candidates.at(0);
  if (count - held >= 2 && held > 0 && classes >= 2 && candidates.size() > 1) {
    Rng rng = keyed_rng({seed});
    const auto order = random_permutation(rng, count);
    const std::span<const int64_t> asked(order.data(), static_cast<size_t>(held)),
        known(order.data() + held, order.size() - static_cast<size_t>(held));
    const LabelledRows all{rows, class_of}, learnt = all.at(known), held_out = all.at(asked);
    int64_t most = -1;
    for (const double c : candidates) {
      const auto planes = fit_logistic_regression(learnt.rows, learnt.class_of, classes, c);
      const int64_t right = count_right(predict(planes, held_out.rows), held_out.class_of);
      if (right > most) most = right, best = c;
    }
  }
  return fit_logistic_regression(rows, class_of, classes, best);
}

std::vector<int64_t> predict(const LogisticRegression& planes, const Tensor& rows) {
  const Tensor scores = linear(rows, LinearWeight(planes.weight, planes.bias));
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < scores.size(0); ++i) {
    const auto row = scores.select(0, i);
    const auto values = row.values<float>();
    classes.push_back(std::ranges::max_element(values) - values.begin());
  }
  return classes;
}

int64_t count_right(const std::vector<int64_t>& answers, const std::vector<int64_t>& truth) {
  return std::inner_product(answers.begin(), answers.end(), truth.begin(), int64_t{0}, std::plus{},
                            std::equal_to{});
}

LabelledRows LabelledRows::at(std::span<const int64_t> which) const {
  const int64_t width = rows.size(1);
  LabelledRows taken{Tensor::empty({std::ssize(which), width}), {}};
  float* row = taken.rows.data<float>();
  for (const int64_t i : which) {
    row = std::copy_n(rows.data<float>() + i * width, width, row);
    taken.class_of.push_back(class_of[static_cast<size_t>(i)]);
  }
  return taken;
}

}  // namespace ocelli
