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

// With n = (x - mean) / s, s = sqrt(var + eps), g = dy * weight:
// dx = (g - mean(g) - n mean(g n)) / s,  dweight += dy n,  dbias += dy
void layer_norm_backward_row(const float* dy, const float* x, float* dx, int64_t n,
                             const float* weight, float eps, float* dweight, float* dbias) {
  const Tag d;
  const auto count = static_cast<float>(n);
  const float mean = row_sum(x, n) / count;
  Vec squares = hn::Zero(d), sum = hn::Zero(d), product = hn::Zero(d);
  const Vec centre = hn::Set(d, mean);
  const auto gradient = [&](int64_t i) HWY_ATTR {
    const Vec g = load_some(dy + i, n - i);
    return weight ? hn::Mul(g, load_some(weight + i, n - i)) : g;
  };
  for_each_vector(x, n, mean, [&](int64_t i, Vec v) HWY_ATTR {
    const Vec c = hn::Sub(v, centre), g = gradient(i);
    squares = hn::MulAdd(c, c, squares);
    sum = hn::Add(sum, g);
    product = hn::MulAdd(c, g, product);
  });
  const float factor = 1 / std::sqrt(total(squares) / count + eps);
  const Vec rate = hn::Set(d, factor), mean_g = hn::Set(d, total(sum) / count);
  const Vec mean_gn = hn::Set(d, factor * total(product) / count);
  for_each_vector(x, n, mean, [&](int64_t i, Vec v) HWY_ATTR {
    const int64_t left = n - i;
    const Vec normed = hn::Mul(hn::Sub(v, centre), rate);
    const Vec rest = hn::NegMulAdd(normed, mean_gn, hn::Sub(gradient(i), mean_g));
    store_some(hn::Mul(rest, rate), dx + i, left);
    const Vec given = load_some(dy + i, left);
    if (dweight)
      store_some(hn::MulAdd(given, normed, load_some(dweight + i, left)), dweight + i, left);
    if (dbias) store_some(hn::Add(given, load_some(dbias + i, left)), dbias + i, left);
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

// y[c] = fold over n rows of x[i * stride + c], for kVectors vectors of columns.
template <Reduce kKind, int kVectors>
HWY_INLINE void fold_columns(const float* x, int64_t n, int64_t stride, int64_t columns, float* y) {
  const Tag d;
  Vec folds[kVectors];
  for (int v = 0; v < kVectors; ++v) folds[v] = load_some(x + v * kLanes, columns - v * kLanes);
  for (int64_t i = 1; i < n; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      const Vec next = load_some(x + i * stride + v * kLanes, columns - v * kLanes);
      if constexpr (kKind == Reduce::max)
        folds[v] = hn::Max(folds[v], next);
      else if constexpr (kKind == Reduce::min)
        folds[v] = hn::Min(folds[v], next);
      else
        folds[v] = hn::Add(folds[v], next);
    }
  }
  const Vec factor = hn::Set(d, kKind == Reduce::mean ? 1 / static_cast<float>(n) : 1.0f);
  for (int v = 0; v < kVectors; ++v) {
    const Vec fold = kKind == Reduce::mean ? hn::Mul(folds[v], factor) : folds[v];
    store_some(fold, y + v * kLanes, columns - v * kLanes);
  }
}

template <Reduce kKind>
void fold_columns(const float* x, int64_t n, int64_t stride, int64_t columns, float* y) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= columns; c += 4 * kLanes)
    fold_columns<kKind, 4>(x + c, n, stride, 4 * kLanes, y + c);
  for (; c < columns; c += kLanes) fold_columns<kKind, 1>(x + c, n, stride, columns - c, y + c);
}

void reduce_columns(Reduce kind, const float* x, int64_t n, int64_t stride, int64_t columns,
                    float* y) {
  switch (kind) {
    case Reduce::max: return fold_columns<Reduce::max>(x, n, stride, columns, y);
    case Reduce::min: return fold_columns<Reduce::min>(x, n, stride, columns, y);
    case Reduce::mean: return fold_columns<Reduce::mean>(x, n, stride, columns, y);
    case Reduce::sum: return fold_columns<Reduce::sum>(x, n, stride, columns, y);
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
HWY_EXPORT(layer_norm_backward_row);
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

// Sums over rows are made of those of this many, in order: the same for any number of threads.
constexpr int64_t kSumRows = 64;

// y[c] = sum of n rows x[i * stride + c]
void sum_rows(const float* x, int64_t n, int64_t stride, int64_t columns, float* y) {
  const auto fold = [&](const float* from, int64_t rows, int64_t row, float* into) {
    HWY_DYNAMIC_DISPATCH(reduce_columns)(Reduce::sum, from, rows, row, columns, into);
  };
  const int64_t chunks = (n + kSumRows - 1) / kSumRows;
  const Tensor parts = Tensor::empty({chunks, columns});
  parallel_for(chunks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      fold(x + i * kSumRows * stride, std::min(kSumRows, n - i * kSumRows), stride,
           parts.data<float>() + i * columns);
    }
  });
  fold(parts.data<float>(), chunks, columns, y);
}

}  // namespace

void Cpu::layer_norm_backward(const View& dx, const View* dweight, const View* dbias,
                              const View& dy, const View& x, const View* weight, float eps) const {
  const int64_t n = x.shape[-1], rows = n ? x.shape.numel() / n : 0;
  const auto is_compact = [](const View* v) { return !v || Tensor::borrow(*v).is_contiguous(); };
  if (rows == 0 || !is_compact(&dx) || !is_compact(dweight) || !is_compact(dbias)) {
    return Reference::layer_norm_backward(dx, dweight, dbias, dy, x, weight, eps);
  }
  const Row w(weight), given(&dy), in(&x);
  const int64_t chunks = (rows + kSumRows - 1) / kSumRows;
  const Tensor parts = Tensor::zeros({2, chunks, n});
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kSumRows; i < std::min(rows, end * kSumRows); ++i) {
      float* sums = parts.data<float>() + i / kSumRows * n;
      HWY_DYNAMIC_DISPATCH(layer_norm_backward_row)
      (given.data + i * n, in.data + i * n, dx.as<float>() + i * n, n, w.data, eps,
       dweight ? sums : nullptr, dbias ? sums + chunks * n : nullptr);
    }
  });
  if (dweight) sum_rows(parts.data<float>(), chunks, n, n, dweight->as<float>());
  if (dbias) sum_rows(parts.data<float>() + chunks * n, chunks, n, n, dbias->as<float>());
}

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
    if (kind == Reduce::sum && outer.numel() == 1 && n > 2 * kSumRows) {
      return sum_rows(x.as<float>(), n, x.strides[-1], columns, y.as<float>());
    }
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
