// y = alpha A B of matrices in memory, through the packed product: B is packed on the way.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/gemm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

void transpose_rows(const float* from, int64_t from_row, int64_t rows, int64_t columns, float* into,
                    int64_t into_row) {
  transpose(from, from_row, rows, columns, into, into_row);
}

// The same into rows of words of bf16, each of two of the rows.
void transpose_pairs(const float* from, int64_t from_row, int64_t rows, int64_t columns,
                     float* into, int64_t into_row) {
  constexpr int64_t kWords = 16, kWidth = 128;  // joined ones stay in the first-level cache
  const Tag d;
  HWY_ALIGN float joined[kWords * kWidth];
  for (int64_t r = 0; r < rows; r += 2 * kWords) {
    const int64_t words = std::min(kWords, (rows - r + 1) / 2);
    for (int64_t c0 = 0; c0 < columns; c0 += kWidth) {
      const int64_t count = std::min(kWidth, columns - c0);
      for (int64_t i = 0; i < words; ++i) {
        const float *even = from + (r + 2 * i) * from_row + c0,
                    *odd = r + 2 * i + 1 < rows ? even + from_row : nullptr;
        for (int64_t c = 0; c < count; c += kLanes) {
          const Vec second = odd ? load_some(odd + c, count - c) : hn::Zero(d);
          hn::Store(join_bf16(load_some(even + c, count - c), second), d, joined + i * kWidth + c);
        }
      }
      transpose(joined, kWidth, words, count, into + c0 * into_row + r / 2, into_row);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(transpose_rows);
HWY_EXPORT(transpose_pairs);

namespace {

// y = alpha A B of an A whose columns are compact, as dW = dz^T x of a linear layer: few outputs,
// each a sum over all rows of a batch. Both factors are packed slice by slice of K, on the thread
// that multiplies them while they lie in its second-level cache; y takes up the slices.
class DeepProduct {
 public:
  DeepProduct(Precision precision, const Tensor& y, const Tensor& a, const Tensor& b, float alpha)
      : precision_(precision), y_(y), a_(a), b_(b) {
    if (alpha != 1) factor_ = Tensor::full({y.size(1)}, alpha);
  }

  void operator()() const {
    const int64_t m = y_.size(0), n = y_.size(1), panel = unpacked(precision_, 1, 0).panel;
    const int64_t tile = tile_height(), panels = (n + panel - 1) / panel;
    const int64_t worth = m * n * b_.size(0) / 100000;
    const Grid grid = choose_grid((m + tile - 1) / tile, panels, num_threads(),
                                  std::min<int64_t>(2 * num_threads(), worth));
    parallel_for(grid.rows * grid.panels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = i / grid.panels, p = i % grid.panels;
        part(m * r / grid.rows, m * (r + 1) / grid.rows, panels * p / grid.panels * panel,
             std::min(n, panels * (p + 1) / grid.panels * panel));
      }
    });
  }

 private:
  void part(int64_t row, int64_t row_end, int64_t column, int64_t column_end) const {
    const bool narrow = precision_ == Precision::bf16;
    const int64_t k = b_.size(0), width = kDepth + 16;  // rows a page apart share cache lines
    const Tensor rows = Tensor::empty({row_end - row, width});
    const Tensor columns = b_.slice(1, column, column_end).transpose(0, 1);
    float* y = y_.data<float>() + row * y_.strides()[0] + column;
    const float* scale = factor_.defined() ? factor_.data<float>() + column : nullptr;
    WordRows words{.words = rows.data<float>(), .row = width};
    for (int64_t at = 0; at < k; at += kDepth) {
      const int64_t depth = std::min(kDepth, k - at), step = a_.strides()[1];
      const float* a = a_.data<float>() + row + at * step;
      if (narrow)
        HWY_DYNAMIC_DISPATCH(transpose_pairs)(a, step, depth, row_end - row, words.words, width);
      else
        HWY_DYNAMIC_DISPATCH(transpose_rows)(a, step, depth, row_end - row, words.words, width);
      PackedLinear packed = unpacked(precision_, column_end - column, depth);
      pack_serial(columns.slice(1, at, at + depth), packed);
      linear_serial({.x = rows.raw(),
                     .ldx = width,
                     .y = y,
                     .ldy = y_.strides()[0],
                     .m = row_end - row,
                     .weight = &packed,
                     .activation = {},
                     .scale = scale,
                     .residual = at > 0 ? y : nullptr,
                     .words = narrow ? &words : nullptr});
    }
  }

  static constexpr int64_t kDepth = 256;

  Precision precision_;
  const Tensor &y_, &a_, &b_;
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
        DeepProduct(word_precision(), result, left, right, alpha)();
      } else {
        const Tensor rows = left.strides()[1] == 1 ? left : contiguous(left);
        linear(result, rows, *pack_linear(right.transpose(0, 1), nullptr),
               {std::nullopt, factor.defined() ? &factor_view : nullptr});
      }
      if (!in_place) copy(out, result);
    }
  });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
