// y = alpha A B of matrices in memory, through the packed product: B is packed on the way. And the
// gradient of a linear layer, which is two of them.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/gemm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

// Rows of T, float or uint16_t (bf16), as rows of words, each of a row or of two, so that a product
// sums over them.
template <class T, int kEach>
void rows_as_depth(const T* from, int64_t from_row, int64_t rows, int64_t columns, float* into,
                   int64_t into_row) {
  constexpr int64_t kAhead = 16;  // rows, which are short and far apart
  for (int64_t r = 0; r < rows; r += kEach, into += into_row) {
    const T *even = from + r * from_row, *odd = r + 1 < rows ? even + from_row : nullptr;
    for (int64_t c = 0; c < columns; c += kLanes) {
      __builtin_prefetch(even + kAhead * from_row + c);
      if (kEach > 1) __builtin_prefetch(even + (kAhead + 1) * from_row + c);
      const Vec words = kEach > 1 ? load_pairs(even + c, odd ? odd + c : odd, columns - c)
                                  : load_number(even + c, columns - c);
      hn::StoreU(words, Tag(), into + c);
    }
  }
}

// `from` is bf16, or f32, to be rounded where `narrow`.
void depth_of(const View& from, bool narrow, float* into, int64_t into_row) {
  const int64_t columns = from.shape[0], rows = from.shape[1], row = from.strides[1];
  if (from.dtype == DType::bf16)
    return rows_as_depth<uint16_t, 2>(from.as<uint16_t>(), row, rows, columns, into, into_row);
  if (narrow) return rows_as_depth<float, 2>(from.as<float>(), row, rows, columns, into, into_row);
  rows_as_depth<float, 1>(from.as<float>(), row, rows, columns, into, into_row);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(depth_of);

namespace {

// y = alpha A B of an A whose columns are compact, as dW = dz^T x of a linear layer: few outputs,
// each a sum over all rows of a batch. Both factors are packed slice by slice of K, on the thread
// that multiplies them while they lie in its second-level cache; y takes up the slices.
class DeepProduct {
 public:
  DeepProduct(Precision precision, Tensor y, Tensor a, Tensor b, float alpha)
      : precision_(precision), y_(std::move(y)), a_(std::move(a)), b_(std::move(b)) {
    if (alpha != 1) factor_ = Tensor::full({y.size(1)}, alpha);
  }

  void operator()() const {
    const int64_t m = y_.size(0), n = y_.size(1), panel = unpacked(precision_, 1, 0).panel;
    const int64_t tile = tile_height(), panels = (n + panel - 1) / panel;
    const int64_t worth = m * n * b_.size(0) / 100000;
    const Grid grid =
        grid_of((m + tile - 1) / tile, panels, std::clamp<int64_t>(worth, 1, num_threads()));
    parallel_for(grid.rows * grid.panels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = i / grid.panels, p = i % grid.panels;
        part(m * r / grid.rows, m * (r + 1) / grid.rows, panels * p / grid.panels * panel,
             std::min(n, panels * (p + 1) / grid.panels * panel));
      }
    });
  }

 private:
  // Each part packs its rows and its columns, which other parts pack as well: to pack a tile or a
  // panel takes about as long as to multiply one by the other.
  static Grid grid_of(int64_t tiles, int64_t panels, int64_t threads) {
    Grid best{1, 1};
    int64_t least = std::numeric_limits<int64_t>::max();
    for (int64_t r = 1; r <= threads; ++r) {
      const int64_t a = (tiles + r - 1) / r, b = (panels + threads / r - 1) / (threads / r);
      if (a * b + a + b >= least) continue;
      least = a * b + a + b;
      best = {r, threads / r};
    }
    return best;
  }

  void part(int64_t row, int64_t row_end, int64_t column, int64_t column_end) const {
    const bool narrow = precision_ == Precision::bf16;
    // Rows of words and panels a page apart would share cache lines.
    const int64_t k = b_.size(0), count = row_end - row, step = narrow ? kDepth - 8 : kDepth;
    const int64_t width = (count + 31) / 32 * 32 + 16;
    const Tensor memory = Tensor::empty({step, width});
    const Tensor rows = a_.slice(0, row, row_end),
                 columns = b_.slice(1, column, column_end).transpose(0, 1);
    const WordRows words{.words = memory.data<float>(), .row = 1, .step = width};
    float* y = y_.data<float>() + row * y_.strides()[0] + column;
    for (int64_t at = 0; at < k; at += step) {
      const int64_t depth = std::min(step, k - at);
      HWY_DYNAMIC_DISPATCH(depth_of)
      (rows.slice(1, at, at + depth), narrow, words.words, width);
      PackedLinear packed = unpacked(precision_, column_end - column, depth);
      pack_serial(columns.slice(1, at, at + depth), packed);
      linear_serial({.x = words.words,
                     .ldx = 1,
                     .y = y,
                     .ldy = y_.strides()[0],
                     .m = count,
                     .weight = &packed,
                     .activation = {},
                     .scale = factor_.defined() ? factor_.data<float>() + column : nullptr,
                     .residual = at > 0 ? y : nullptr,
                     .words = &words});
    }
  }

  static constexpr int64_t kDepth = 256;

  Precision precision_;
  Tensor y_, a_, b_;
  Tensor factor_;
};

}  // namespace

void Cpu::gemm(const View& y, const View& a, const View& b, float alpha) const {
  const int rank = y.shape.rank();
  const Shape lead{std::span(y.shape.begin(), static_cast<size_t>(rank - 2))};
  const auto one = [&](const View& v, int64_t i) {
    Tensor t = Tensor::borrow(v);
    for (int d = rank - 3; d >= 0; --d) {
      t = t.select(d, i % lead[d]);
      i /= lead[d];
    }
    return t;
  };
  const Tensor factor = alpha == 1 ? Tensor() : Tensor::full({y.shape[-1]}, alpha);
  const View factor_view = factor;
  parallel_for(lead.numel(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Tensor left = one(a, i), right = one(b, i), out = one(y, i);
      const bool in_place = out.strides()[1] == 1;
      const Tensor result = in_place ? out : Tensor::empty(out.shape());
      if (left.strides()[0] == 1 && left.strides()[1] != 1 && left.size(1) > 0) {
        const bool narrow = word_precision() == Precision::bf16;
        DeepProduct(narrow ? Precision::bf16 : Precision::f32, result, left, right, alpha)();
      } else {
        const Tensor rows = left.strides()[1] == 1 ? left : contiguous(left);
        linear(result, rows, *pack_linear(right.transpose(0, 1), nullptr),
               {std::nullopt, factor.defined() ? &factor_view : nullptr});
      }
      if (!in_place) copy(out, result);
    }
  });
}

// Of bf16, both products need dz rounded, which it is once.
void Cpu::linear_backward(const View* dx, const View* dweight, const View* dbias, const View& dy,
                          const View& x, const View& weight, const Epilogue& epilogue) const {
  if (x.dtype != DType::bf16 || x.shape[0] == 0)
    return Reference::linear_backward(dx, dweight, dbias, dy, x, weight, epilogue);
  constexpr int64_t kRows = 32;  // which stay in the second-level cache
  const int64_t m = dy.shape[0], n = dy.shape[1], blocks = (m + kRows - 1) / kRows;
  const Tensor dz = Tensor::empty(dy.shape, DType::bf16), sums = Tensor::empty({blocks, n});
  const Tensor given = Tensor::borrow(dy);
  parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    const Tensor wide = epilogue.activation ? Tensor::empty({kRows, n}) : Tensor();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i * kRows, row_end = std::min(m, row + kRows);
      Tensor rows = given.slice(0, row, row_end);
      if (epilogue.activation) {
        const Tensor z = wide.slice(0, 0, row_end - row);
        unary_backward(*epilogue.activation, z, rows,
                       Tensor::borrow(*epilogue.sums).slice(0, row, row_end));
        rows = z;
      }
      copy(dz.slice(0, row, row_end), rows);
      if (dbias) reduce(Reduce::sum, sums.select(0, i), rows.transpose(0, 1));
    }
  });
  if (dbias) reduce(Reduce::sum, *dbias, sums.transpose(0, 1));
  if (dweight)
    DeepProduct(Precision::bf16, Tensor::borrow(*dweight), dz.transpose(0, 1), Tensor::borrow(x),
                1)();
  if (dx) linear(*dx, dz, *pack_linear(Tensor::borrow(weight).transpose(0, 1), nullptr), {});
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
