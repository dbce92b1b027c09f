#include "ocelli/ops/loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ocelli/base/threads.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
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

namespace {

// For each row the other one of the largest inner product.
std::vector<int64_t> nearest_rows(const Tensor& x) {
  const NoTape pause;
  const int64_t rows = x.size(0);
  const Tensor products = matmul(x, x.transpose(0, 1));
  std::vector<int64_t> nearest(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) {
    float* row = products.data<float>() + i * rows;
    row[i] = -std::numeric_limits<float>::infinity();
    nearest[i] = std::max_element(row, row + rows) - row;
  }
  return nearest;
}

}  // namespace

Tensor koleo(const Tensor& x, float eps) {
  check(x.rank() == 2 && x.dtype() == DType::f32 && x.size(0) >= 2,
        "koleo: x is {} {}; two rows or more are needed", x.dtype(), x.shape());
  const Tensor in = contiguous(x);
  const int64_t rows = x.size(0), width = x.size(1);
  const std::vector<int64_t> nearest = nearest_rows(in);
  const auto difference = [=](int64_t i, int64_t c) {
    const float* values = in.data<float>();
    return double{values[i * width + c]} - values[nearest[i] * width + c] + eps;
  };
  std::vector<double> distances(nearest.size()), terms(nearest.size());
  for (int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (int64_t c = 0; c < width; ++c) sum += difference(i, c) * difference(i, c);
    distances[i] = std::sqrt(sum);
    terms[i] = -std::log(distances[i] + eps);
  }
  const Tensor y = mean_of(terms, rows);
  if (Tape* tape = Tape::recording({&x})) {
    // With d_i = x_i - x_n(i) + eps: -dy d_i / (B |d_i| (|d_i| + eps)) to x_i, its inverse to
    // x_n(i)
    tape->record("koleo", y, [=, at = Place(x)](const Tensor& dy, Gradients& gradients) {
      const Tensor dx = Tensor::zeros({rows, width});
      for (int64_t i = 0; i < rows; ++i) {
        const double factor = -double{contiguous(dy).data<float>()[0]} /
                              (static_cast<double>(rows) * distances[i] * (distances[i] + eps));
        for (int64_t c = 0; c < width; ++c) {
          const auto share = static_cast<float>(factor * difference(i, c));
          dx.data<float>()[i * width + c] += share;
          dx.data<float>()[nearest[i] * width + c] -= share;
        }
      }
      gradients.add(at, dx);
    });
  }
  return y;
}

}  // namespace ocelli
