// What attention and its gradient share: packed rows, and softmax of a row of scores.

#if defined(OCELLI_BACKEND_CPU_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_ATTENTION_INL_H_
#undef OCELLI_BACKEND_CPU_ATTENTION_INL_H_
#else
#define OCELLI_BACKEND_CPU_ATTENTION_INL_H_
#endif

#include "hwy/highway.h"
#include "ocelli/backend/cpu/attention.h"
#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

HWY_INLINE int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// A matrix of n rows of `width` words as the panels of a product that sums over its columns:
// [ceil(n / W)][width][W], W = kPanel.
HWY_INLINE void pack_rows_across(const float* rows, int64_t row, int64_t n, int64_t width,
                                 float* panels) {
  for (int64_t p = 0; p * kPanel < n; ++p, panels += width * kPanel) {
    const int64_t count = std::min(kPanel, n - p * kPanel);
    transpose(rows + p * kPanel * row, row, count, width, panels, kPanel);
    for (int64_t i = 0; count < kPanel && i < width; ++i) {
      std::fill(panels + i * kPanel + count, panels + (i + 1) * kPanel, 0.0f);
    }
  }
}

// And of one that sums over its rows: [ceil(width / W)][n][W].
HWY_INLINE void pack_rows(const float* rows, int64_t row, int64_t n, int64_t width, float* panels) {
  for (int64_t p = 0; p * kPanel < width; ++p) {
    const int64_t count = std::min(kPanel, width - p * kPanel);
    for (int64_t j = 0; j < n; ++j, panels += kPanel) {
      std::copy_n(rows + j * row + p * kPanel, count, panels);
      std::fill(panels + count, panels + kPanel, 0.0f);
    }
  }
}

// The same of bf16: a word holds the numbers of two rows, [ceil(width / W)][ceil(n / 2)][W].
HWY_INLINE void pack_rows(const uint16_t* rows, int64_t row, int64_t n, int64_t width,
                          float* panels) {
  const Tag d;
  for (int64_t p = 0; p * kPanel < width; ++p) {
    for (int64_t j = 0; j < n; j += 2, panels += kPanel) {
      const uint16_t* even = rows + j * row + p * kPanel;
      const uint16_t* odd = j + 1 < n ? even + row : nullptr;
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        const int64_t left = width - p * kPanel - c;
        hn::StoreU(left > 0 ? load_pairs(even + c, odd ? odd + c : odd, left) : hn::Zero(d), d,
                   panels + c);
      }
    }
  }
}

// Adds the bias (to scaled scores) and hides keys; everything past the keys is minus infinity, so
// that exp gives 0.
template <class T>
HWY_INLINE void mask_row(const Head<T>& h, int64_t query, int64_t padded, float* s) {
  if (h.bias) {
    for (int64_t j = 0; j < h.nk; ++j) {
      s[j] = s[j] * h.scale + h.bias[query * h.bias_row + j * h.bias_step];
    }
  }
  if (h.mask) {
    for (int64_t j = 0; j < h.nk; ++j) {
      if (!h.mask[j * h.mask_step]) s[j] = -kInfinity;
    }
  }
  int64_t seen = h.nk;
  if (h.causal) seen = std::clamp<int64_t>(query + h.nk - h.nq + 1, 0, h.nk);
  std::fill(s + seen, s + padded, -kInfinity);
}

// s becomes exp(scale * (s - max s)); returns 1 / sum, or 0 for a row without keys. scale > 0.
template <bool kRough>
HWY_INLINE float exponentials(float* s, int64_t padded, float scale) {
  const Tag d;
  Vec top = hn::Load(d, s);
  for (int64_t j = kLanes; j < padded; j += kLanes) top = hn::Max(top, hn::Load(d, s + j));
  const float highest = hn::GetLane(hn::MaxOfLanes(d, top));
  // Highway's emulated vectors start a maximum of lanes at the lowest finite number.
  if (highest <= std::numeric_limits<float>::lowest()) {
    std::fill(s, s + padded, 0.0f);
    return 0;
  }
  const float log2_scale = scale * 1.44269504f;
  const Vec factor = hn::Set(d, log2_scale), shift = hn::Set(d, -highest * log2_scale);
  Vec sum = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += kLanes) {
    const Vec e = exp2_of_negative<kRough>(d, hn::MulAdd(hn::Load(d, s + j), factor, shift));
    hn::Store(e, d, s + j);
    sum = hn::Add(sum, e);
  }
  return 1 / hn::GetLane(hn::SumOfLanes(d, sum));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
