#include "ocelli/ops/loss.h"

#include <cmath>

#include "ocelli/base/threads.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

// Targets as a distribution over the classes of each row.
Tensor distribution(const Tensor& targets, int64_t rows, int64_t classes, float smoothing) {
  if (targets.dtype() == DType::f32) {
    check(targets.shape() == Shape({rows, classes}) && smoothing == 0,
          "cross_entropy: logits are [{}, {}] but targets {}{}", rows, classes, targets.shape(),
          smoothing > 0 ? " with label smoothing, which is for classes" : "");
    return contiguous(targets);
  }
  check(targets.dtype() == DType::i32 && targets.shape() == Shape{rows},
        "cross_entropy: logits are [{}, {}] but targets {} {}", rows, classes, targets.dtype(),
        targets.shape());
  const Tensor t = Tensor::full({rows, classes}, smoothing / static_cast<float>(classes));
  const Tensor index = contiguous(targets);
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t c = index.data<int32_t>()[i];
    check(c >= 0 && c < classes, "cross_entropy: class {} of {}", c, classes);
    t.data<float>()[i * classes + c] += 1 - smoothing;
  }
  return t;
}

// The sum of terms, in double and in order.
Tensor mean_of(const std::vector<double>& terms, int64_t count) {
  double total = 0;
  for (const double term : terms) total += term;
  return Tensor::full({}, static_cast<float>(total / static_cast<double>(count)));
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, float label_smoothing) {
  check(logits.rank() == 2 && logits.dtype() == DType::f32 && logits.numel() > 0,
        "cross_entropy: logits are {} {}", logits.dtype(), logits.shape());
  const int64_t rows = logits.size(0), classes = logits.size(1);
  const Tensor t = distribution(targets, rows, classes, label_smoothing), x = contiguous(logits);
  std::vector<double> losses(static_cast<size_t>(rows));
  parallel_for(rows, 4096 / classes + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float *row = x.data<float>() + i * classes, *weight = t.data<float>() + i * classes;
      const float top = *std::max_element(row, row + classes);
      double total = 0, weights = 0, dot = 0;
      for (int64_t c = 0; c < classes; ++c) {
        total += std::exp(double{row[c]} - top);
        weights += weight[c];
        dot += double{weight[c]} * (double{row[c]} - top);
      }
      losses[static_cast<size_t>(i)] = weights * std::log(total) - dot;
    }
  });
  const Tensor y = mean_of(losses, rows);
  if (Tape* tape = Tape::recording({&logits})) {
    // dx = (softmax(x) sum(t) - t) dy / B
    tape->record("cross_entropy", y, [=](const Tensor& dy, Gradients& gradients) {
      const Tensor share = dy * (1 / static_cast<float>(rows));
      gradients.add(logits, (softmax(x) * sum(t, -1).unsqueeze(-1) - t) * share);
    });
  }
  return y;
}

Tensor sigmoid_cross_entropy(const Tensor& logits, const Tensor& targets) {
  check(logits.rank() >= 1 && logits.dtype() == DType::f32 && logits.numel() > 0 &&
            targets.dtype() == DType::f32 && targets.shape() == logits.shape(),
        "sigmoid_cross_entropy: logits are {} {} but targets {} {}", logits.dtype(), logits.shape(),
        targets.dtype(), targets.shape());
  const Tensor x = contiguous(logits), t = contiguous(targets);
  const int64_t rows = x.size(0), each = x.numel() / rows;
  std::vector<double> losses(static_cast<size_t>(rows));
  parallel_for(rows, 4096 / each + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * each; i < end * each; ++i) {
      // log(1 + e^x) - t x
      const double v = x.data<float>()[i];
      losses[static_cast<size_t>(i / each)] +=
          std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))) - t.data<float>()[i] * v;
    }
  });
  const Tensor y = mean_of(losses, rows);
  if (Tape* tape = Tape::recording({&logits})) {
    // dx = (sigmoid(x) - t) dy / N
    tape->record("sigmoid_cross_entropy", y, [=](const Tensor& dy, Gradients& gradients) {
      gradients.add(logits, (sigmoid(x) - t) * (dy * (1 / static_cast<float>(rows))));
    });
  }
  return y;
}

}  // namespace ocelli
