// Layer norm, RMS norm, softmax and reductions: one row after the other, each read from the
// first-level cache after its first pass.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/norm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/math-inl.h"
#include "ocelli/backend/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

HWY_INLINE float total(Vec v) {
  return hn::GetLane(hn::SumOfLanes(Tag(), v));
}

float row_sum(const float* x, int64_t n) {
  const Tag d;
  Vec even = hn::Zero(d), odd = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    even = hn::Add(even, hn::LoadU(d, x + i));
    odd = hn::Add(odd, hn::LoadU(d, x + i + kLanes));
  }
  for_each_vector(x + i, n - i, 0, [&](int64_t, Vec v) HWY_ATTR { even = hn::Add(even, v); });
  return total(hn::Add(even, odd));
}

void layer_norm_row(const float* x, float* y, int64_t n, const float* weight, const float* bias,
                    float eps) {
  const Tag d;
  const float mean = row_sum(x, n) / static_cast<float>(n);
  Vec squares = hn::Zero(d);
  const Vec centre = hn::Set(d, mean);
  for_each_vector(x, n, mean, [&](int64_t, Vec v) HWY_ATTR {
    const Vec c = hn::Sub(v, centre);
    squares = hn::MulAdd(c, c, squares);
  });
  const Vec factor = hn::Set(d, 1 / std::sqrt(total(squares) / static_cast<float>(n) + eps));
  for_each_vector(x, n, mean, [&](int64_t i, Vec v) HWY_ATTR {
    v = hn::Mul(hn::Sub(v, centre), factor);
    if (weight) v = hn::Mul(v, load_some(weight + i, n - i));
    if (bias) v = hn::Add(v, load_some(bias + i, n - i));
    store_some(v, y + i, n - i);
  });
}

void rms_norm_row(const float* x, float* y, int64_t n, const float* weight, float eps) {
  const Tag d;
  Vec squares = hn::Zero(d);
  for_each_vector(x, n, 0, [&](int64_t, Vec v) HWY_ATTR { squares = hn::MulAdd(v, v, squares); });
  const Vec factor = hn::Set(d, 1 / std::sqrt(total(squares) / static_cast<float>(n) + eps));
  for_each_vector(x, n, 0, [&](int64_t i, Vec v) HWY_ATTR {
    v = hn::Mul(v, factor);
    store_some(weight ? hn::Mul(v, load_some(weight + i, n - i)) : v, y + i, n - i);
  });
}

float row_max(const float* x, int64_t n) {
  const Tag d;
  Vec top = hn::Set(d, x[0]);
  for_each_vector(x, n, x[0], [&](int64_t, Vec v) HWY_ATTR { top = hn::Max(top, v); });
  return hn::GetLane(hn::MaxOfLanes(d, top));
}

float row_min(const float* x, int64_t n) {
  const Tag d;
  Vec low = hn::Set(d, x[0]);
  for_each_vector(x, n, x[0], [&](int64_t, Vec v) HWY_ATTR { low = hn::Min(low, v); });
  return hn::GetLane(hn::MinOfLanes(d, low));
}

void softmax_row(const float* x, float* y, int64_t n) {
  const Tag d;
  const Vec top = hn::Set(d, row_max(x, n));
  for_each_vector(x, n, 0, [&](int64_t i, Vec v) HWY_ATTR {
    store_some(fast_exp(d, hn::Sub(v, top)), y + i, n - i);
  });
  const Vec factor = hn::Set(d, 1 / row_sum(y, n));
  for_each_vector(y, n, 0,
                  [&](int64_t i, Vec v) HWY_ATTR { store_some(hn::Mul(v, factor), y + i, n - i); });
}

// y[c] = fold over n rows of x[i * stride + c], for a run of columns.
void reduce_columns(Reduce kind, const float* x, int64_t n, int64_t stride, int64_t columns,
                    float* y) {
  const Tag d;
  for (int64_t c = 0; c < columns; c += kLanes) {
    Vec acc = load_some(x + c, columns - c);
    for (int64_t i = 1; i < n; ++i) {
      const Vec v = load_some(x + i * stride + c, columns - c);
      if (kind == Reduce::max)
        acc = hn::Max(acc, v);
      else if (kind == Reduce::min)
        acc = hn::Min(acc, v);
      else
        acc = hn::Add(acc, v);
    }
    if (kind == Reduce::mean) acc = hn::Mul(acc, hn::Set(d, 1 / static_cast<float>(n)));
    store_some(acc, y + c, columns - c);
  }
}

float reduce_row(Reduce kind, const float* x, int64_t n) {
  switch (kind) {
    case Reduce::max: return row_max(x, n);
    case Reduce::min: return row_min(x, n);
    case Reduce::mean: return row_sum(x, n) / static_cast<float>(n);
    case Reduce::sum: return row_sum(x, n);
  }
  return 0;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(layer_norm_row);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(softmax_row);
HWY_EXPORT(reduce_columns);
HWY_EXPORT(reduce_row);

namespace {

// Runs row(x, y, n) over all rows; views that are not compact are copied.
template <typename Row>
void for_each_row(const Backend& backend, const View& y, const View& x, const Row& row) {
  const Tensor in = Tensor::borrow(x).is_contiguous() ? Tensor::borrow(x) : Tensor::empty(x.shape);
  const Tensor out = Tensor::borrow(y).is_contiguous() ? Tensor::borrow(y) : Tensor::empty(y.shape);
  if (in.raw() != x.data) backend.copy(in, x);
  const int64_t n = x.shape[-1];
  parallel_for(n ? x.shape.numel() / n : 0, 8192 / std::max<int64_t>(n, 1) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   row(in.data<float>() + i * n, out.data<float>() + i * n, n);
                 }
               });
  if (out.raw() != y.data) backend.copy(y, out);
}

// A weight or bias as compact floats.
struct Row {
  Tensor tensor;
  const float* data = nullptr;
  explicit Row(const View* view) {
    if (!view) return;
    tensor = contiguous(Tensor::borrow(*view));
    data = tensor.data<float>();
  }
};

}  // namespace

void Cpu::layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                     float eps) const {
  const Row w(weight), b(bias);
  for_each_row(*this, y, x, [&](const float* in, float* out, int64_t n) {
    HWY_DYNAMIC_DISPATCH(layer_norm_row)(in, out, n, w.data, b.data, eps);
  });
}

void Cpu::rms_norm(const View& y, const View& x, const View* weight, float eps) const {
  const Row w(weight);
  for_each_row(*this, y, x, [&](const float* in, float* out, int64_t n) {
    HWY_DYNAMIC_DISPATCH(rms_norm_row)(in, out, n, w.data, eps);
  });
}

void Cpu::softmax(const View& y, const View& x) const {
  for_each_row(*this, y, x, [](const float* in, float* out, int64_t n) {
    HWY_DYNAMIC_DISPATCH(softmax_row)(in, out, n);
  });
}

void Cpu::reduce(Reduce kind, const View& y, const View& x) const {
  const int rank = x.shape.rank();
  const int64_t n = x.shape[-1];
  if (n == 0 || y.shape.numel() == 0 || !Tensor::borrow(y).is_contiguous()) {
    return Reference::reduce(kind, y, x);
  }
  // Over an outer dimension (its stride is last now): whole rows of columns at once.
  if (rank >= 2 && x.strides[-1] != 1 && x.strides[-2] == 1) {
    const Shape outer{std::span(x.shape.begin(), static_cast<size_t>(rank - 2))};
    const int64_t columns = x.shape[-2];
    const Shape strides{std::span(x.strides.begin(), static_cast<size_t>(rank - 2))};
    return parallel_for(outer.numel(), 65536 / (n * columns) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        HWY_DYNAMIC_DISPATCH(reduce_columns)
        (kind, x.as<float>() + offset_of(i, outer, strides), n, x.strides[-1], columns,
         y.as<float>() + i * columns);
      }
    });
  }
  const Tensor in = contiguous(Tensor::borrow(x));
  parallel_for(y.shape.numel(), 16384 / n + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      y.as<float>()[i] = HWY_DYNAMIC_DISPATCH(reduce_row)(kind, in.data<float>() + i * n, n);
    }
  });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
