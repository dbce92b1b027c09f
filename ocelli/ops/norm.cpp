#include "ocelli/ops/norm.h"

#include <cmath>

#include "ocelli/backend/backend.h"
#include "ocelli/base/threads.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

void check_row(const char* op, const Tensor& x, const Tensor& row, const char* name) {
  check(x.dtype() == DType::f32 && x.rank() >= 1, "{}: x is {} {}", op, x.dtype(), x.shape());
  check(!row.defined() || row.shape() == Shape{x.size(-1)}, "{}: x is {} but {} is {}", op,
        x.shape(), name, row.shape());
}

const View* or_null(const Tensor& t, const View& view) {
  return t.defined() ? &view : nullptr;
}

// The gradient of a weight or bias [C], where it is asked for.
struct RowGradient {
  Tensor value;
  View view;

  RowGradient(const Tensor& row, const Gradients& gradients)
      : value(gradients.wants(row) ? Tensor::empty(row.shape()) : Tensor()), view(value) {}
  const View* get() const { return value.defined() ? &view : nullptr; }
  void add(const Tensor& row, Gradients& gradients) const {
    if (value.defined()) gradients.add(row, value);
  }
};

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  check_row("layer_norm", x, weight, "weight");
  check_row("layer_norm", x, bias, "bias");
  const Tensor y = Tensor::empty(x.shape());
  const View w = weight, b = bias;
  backend::current().layer_norm(y, x, or_null(weight, w), or_null(bias, b), eps);
  if (Tape* tape = Tape::recording({&x, &weight, &bias})) {
    tape->record("layer_norm", y, [=](const Tensor& dy, Gradients& gradients) {
      const RowGradient dweight(weight, gradients), dbias(bias, gradients);
      const Tensor dx = Tensor::empty(x.shape());
      backend::current().layer_norm_backward(dx, dweight.get(), dbias.get(), dy, x,
                                             or_null(weight, w), eps);
      gradients.add(x, dx);
      dweight.add(weight, gradients);
      dbias.add(bias, gradients);
    });
  }
  return y;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, float eps) {
  check_row("rms_norm", x, weight, "weight");
  const Tensor y = Tensor::empty(x.shape());
  const View w = weight;
  backend::current().rms_norm(y, x, or_null(weight, w), eps);
  if (Tape* tape = Tape::recording({&x, &weight})) {
    tape->record("rms_norm", y, [=](const Tensor& dy, Gradients& gradients) {
      const RowGradient dweight(weight, gradients);
      const Tensor dx = Tensor::empty(x.shape());
      backend::current().rms_norm_backward(dx, dweight.get(), dy, x, or_null(weight, w), eps);
      gradients.add(x, dx);
      dweight.add(weight, gradients);
    });
  }
  return y;
}

namespace {

// A layer norm of each group [P * C / G], for a tape.
Tensor grouped_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                    float eps) {
  const int64_t batch = x.size(0), each = x.size(-1) / groups;
  const int64_t positions = x.numel() / std::max<int64_t>(batch * x.size(-1), 1);
  const Tensor split = reshape(x, {batch, positions, groups, each}).permute({0, 2, 1, 3});
  const Tensor rows = reshape(split, {batch, groups, positions * each});
  const Tensor normed = layer_norm(rows, {}, {}, eps).view({batch, groups, positions, each});
  Tensor y = clone(normed.permute({0, 2, 1, 3})).view(x.shape());
  if (weight.defined()) y = y * weight;
  return bias.defined() ? y + bias : y;
}

}  // namespace

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  float eps) {
  check_row("group_norm", x, weight, "weight");
  check_row("group_norm", x, bias, "bias");
  check(x.rank() >= 2 && groups >= 1 && x.size(-1) % groups == 0,
        "group_norm: {} groups over x of {}", groups, x.shape());
  if (Tape::recording({&x, &weight, &bias})) return grouped_norm(x, groups, weight, bias, eps);
  const Tensor y = Tensor::empty(x.shape());
  const View w = weight, b = bias;
  backend::current().group_norm(y, x, or_null(weight, w), or_null(bias, b), groups, eps);
  return y;
}

namespace {

// running += momentum * (now - running)
void move_towards(const Tensor& running, const Tensor& now, float momentum, float factor) {
  for (int64_t c = 0; c < now.numel(); ++c) {
    float& r = running.data<float>()[c];
    r += momentum * (now.data<float>()[c] * factor - r);
  }
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, float momentum, float eps) {
  check_row("batch_norm", x, weight, "weight");
  check_row("batch_norm", x, bias, "bias");
  check_row("batch_norm", x, running_mean, "running_mean");
  check_row("batch_norm", x, running_var, "running_var");
  const int64_t channels = x.size(-1), n = channels ? x.numel() / channels : 0;
  check(n > 1, "batch_norm: x is {}; a variance needs more than one value a channel", x.shape());
  Tape* tape = Tape::recording({&x, &weight, &bias});
  const NoTape pause;
  const Tensor rows = reshape(x, {n, channels});
  const Tensor middle = mean(rows, 0), centred = rows - middle;
  const Tensor var = mean(centred * centred, 0);
  const Tensor inverse = Tensor::full({channels}, 1) / unary(backend::Unary::sqrt, var + eps);
  const Tensor scale = inverse * weight;
  const Tensor y = (centred * scale + bias).view(x.shape());
  move_towards(running_mean, middle, momentum, 1);
  move_towards(running_var, var, momentum, static_cast<float>(n) / static_cast<float>(n - 1));
  if (tape) {
    // With z = (x - mean) / sqrt(var + eps): dbias = sum dy, dweight = sum dy z,
    // dx = (dy - dbias / n - z dweight / n) weight / sqrt(var + eps)
    tape->record("batch_norm", y, [=](const Tensor& dy, Gradients& gradients) {
      const float each = 1.0f / static_cast<float>(n);
      const Tensor dys = reshape(dy, {n, channels}),
                   z = (reshape(x, {n, channels}) - middle) * inverse;
      const Tensor dbias = sum(dys, 0), dweight = sum(dys * z, 0);
      const Tensor dx = (dys - dbias * each - z * (dweight * each)) * scale;
      gradients.add(x, dx.view(x.shape()));
      gradients.add(weight, dweight);
      gradients.add(bias, dbias);
    });
  }
  return y;
}

Tensor normalize(const Tensor& x, float eps) {
  check_row("normalize", x, Tensor(), "");
  const Tensor in = contiguous(x), y = Tensor::empty(x.shape());
  const int64_t n = x.size(-1);
  parallel_for(n ? x.numel() / n : 0, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = in.data<float>() + row * n;
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += double{from[i]} * from[i];
      const auto factor = static_cast<float>(1 / std::max(std::sqrt(sum), double{eps}));
      for (int64_t i = 0; i < n; ++i) y.data<float>()[row * n + i] = from[i] * factor;
    }
  });
  if (Tape* tape = Tape::recording({&x})) {
    // dx = (dy - y sum(y dy)) / |x|
    tape->record("normalize", y, [=](const Tensor& dy, Gradients& gradients) {
      const Tensor length = unary(backend::Unary::sqrt, sum(x * x, -1)) + 1e-30f;
      const Tensor along = y * sum(y * dy, -1).unsqueeze(-1);
      gradients.add(x, (dy - along) / length.unsqueeze(-1));
    });
  }
  return y;
}

}  // namespace ocelli
