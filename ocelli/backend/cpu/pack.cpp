// Weights as linear.cpp multiplies them: panels of words, or of 4-bit numbers.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/tensor/int4.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/pack.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

int64_t panel_width() {
  return kPanel;
}

// The bytes of a weight's row: w = step * s. Pairs of products must fit 16 bits where there are no
// products of bytes, so s has 7 bits there.
void weight_to_bytes(const float* w, PackedLinear& into, int64_t row, float* words) {
  float most = 0;
  for (int64_t i = 0; i < into.k; ++i) most = std::max(most, std::abs(w[i]));
  const float step = most / (has_byte_dots() ? 127.0f : 63.0f);
  row_to_signed_bytes(w, into.k, step, words);
  const auto* bytes = reinterpret_cast<const int8_t*>(words);
  int64_t sum = 0;
  for (int64_t i = 0; i < into.k; ++i) sum += bytes[i];
  into.steps.data<float>()[row] = step;
  into.sums.data<float>()[row] = step * static_cast<float>(sum);
}

// A row of a weight in 4 bits.
void weight_to_nibbles(const float* w, PackedLinear& into, int64_t row) {
  const int64_t pairs = (into.k + 1) / 2, groups = (into.k + into.group - 1) / into.group;
  const int64_t p = row / kPanel, column = row % kPanel;
  uint8_t* bytes = into.panels.data<uint8_t>() + p * pairs * kPanel + column;
  auto* steps = into.group_steps.data<BFloat16>() + p * groups * kPanel + column;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * into.group, end = std::min(begin + into.group, into.k);
    const Int4Group as({w + begin, w + end});
    steps[g * kPanel] = as.step;
    for (int64_t i = begin; i < end; ++i)
      bytes[i / 2 * kPanel] |= static_cast<uint8_t>(as.number(w[i]) << (i % 2 * 4));
  }
}

// Of a weight of T, float or uint16_t (bf16), whose columns are compact (it is the transpose of a
// matrix in rows): a row of words goes into all panels, of f32 or bf16.
template <class T>
void pack_columns(const View& weight, PackedLinear& into, Range panels) {
  const Tag d;
  const int64_t n = weight.shape[0], step = weight.strides[1];
  const int64_t each = numbers_per_word(into.precision);
  constexpr int64_t kAhead = 16;  // rows, which are short and far apart
  for (int64_t i = 0; i < into.words; ++i) {
    const T* row = weight.as<T>() + each * i * step;
    const T* odd = each * i + 1 < into.k ? row + step : nullptr;
    for (int64_t j = panels.begin * kPanel; j < panels.end * kPanel; j += kLanes) {
      __builtin_prefetch(row + kAhead * step + j);
      if (each > 1) __builtin_prefetch(row + (kAhead + 1) * step + j);
      Vec v = hn::Zero(d);
      if (j < n)
        v = each > 1 ? load_pairs(row + j, odd ? odd + j : odd, n - j)
                     : load_number(row + j, n - j);
      const int64_t panel = j / kPanel;
      hn::StoreU(v, d, into.panels.data<float>() + (panel * into.words + i) * kPanel + j % kPanel);
    }
  }
}

// panels[p][word][j] = words of w[p * kPanel + j]; w is f32, or bf16 with compact columns.
void pack_panels(const View& weight, PackedLinear& into, Range panels) {
  const int64_t n = weight.shape[0], k = into.k, words = into.words;
  const int64_t row = weight.strides[0], column = weight.strides[1];
  if (weight.dtype == DType::bf16) return pack_columns<uint16_t>(weight, into, panels);
  if (row == 1 && column != 1 && into.precision != Precision::int8 && !into.group) {
    return pack_columns<float>(weight, into, panels);
  }
  const bool as_is = into.precision == Precision::f32 && !into.group && column == 1;
  const Tensor memory = Tensor::empty({(into.group ? 0 : kPanel * words) + k});
  float *rows = memory.data<float>(), *one = rows + memory.numel() - k;
  for (int64_t p = panels.begin; p < panels.end; ++p) {
    const int64_t first = p * kPanel, count = std::min(kPanel, n - first);
    const float* from = weight.as<float>() + first * row;
    for (int64_t j = 0; j < count && !as_is; ++j) {
      const float* w = from + j * row;
      for (int64_t i = 0; column != 1 && i < k; ++i) one[i] = w[i * column];
      if (column != 1) w = one;
      if (into.group)
        weight_to_nibbles(w, into, first + j);
      else if (into.precision == Precision::f32)
        std::copy_n(w, k, rows + j * words);
      else if (into.precision == Precision::bf16)
        rows_to_bf16(w, k, 1, k, rows + j * words, words);
      else
        weight_to_bytes(w, into, first + j, rows + j * words);
    }
    if (into.group) continue;
    float* panel = into.panels.data<float>() + p * words * kPanel;
    transpose(as_is ? from : rows, as_is ? row : words, count, words, panel, kPanel);
    for (int64_t i = 0; count < kPanel && i < words; ++i) {
      std::fill(panel + i * kPanel + count, panel + (i + 1) * kPanel, 0.0f);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(panel_width);
HWY_EXPORT(pack_panels);

PackedLinear unpacked(Precision precision, int64_t n, int64_t k) {
  PackedLinear w;
  w.precision = precision;
  w.n = n;
  w.k = k;
  w.panel = HWY_DYNAMIC_DISPATCH(panel_width)();
  const int64_t each = numbers_per_word(precision), panels = (n + w.panel - 1) / w.panel;
  w.words = (k + each - 1) / each;
  w.panels = Tensor::empty({panels, w.words, w.panel});
  if (precision == Precision::int8) {
    w.steps = Tensor::zeros({panels * w.panel});
    w.sums = Tensor::zeros({panels * w.panel});
  }
  return w;
}

void pack_serial(const View& weight, PackedLinear& into) {
  HWY_DYNAMIC_DISPATCH(pack_panels)(weight, into, {0, into.panels.size(0)});
}

// Of the words that products multiply: weights in 4 bits become bf16 where it is fast.
Precision Cpu::word_precision() const {
  if (precision_ != Precision::int4) return precision_;
  return has_bf16_dots() ? Precision::bf16 : Precision::f32;
}

PackedPtr Cpu::pack_linear(const View& weight, const View* bias) const {
  const int64_t n = weight.shape[0], k = weight.shape[1];
  auto packed = std::make_shared<PackedLinear>(unpacked(word_precision(), n, k));
  packed->input = input_;
  if (precision_ == Precision::int4) {
    packed->group = group_;
    packed->panels = Tensor::zeros({packed->panels.size(0), (k + 1) / 2, packed->panel}, DType::u8);
    packed->group_steps = Tensor::zeros(
        {packed->panels.size(0), (k + group_ - 1) / group_, packed->panel}, DType::bf16);
  }
  packed->count_bytes();
  if (precision_ != Precision::f32 && has_bf16_dots()) packed->inner = DType::bf16;
  const int64_t panels = packed->panels.size(0);
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(pack_panels)(weight, *packed, {begin, end});
  });
  if (bias) {
    packed->bias = Tensor::zeros({panels * packed->panel});
    copy(packed->bias.slice(0, 0, packed->n), *bias);
  }
  return packed;
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
