// One vector of floats, whole or in part.

#if defined(OCELLI_BACKEND_CPU_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_VECTOR_INL_H_
#undef OCELLI_BACKEND_CPU_VECTOR_INL_H_
#else
#define OCELLI_BACKEND_CPU_VECTOR_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vec = hn::Vec<Tag>;
constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(Tag()));
// From AVX2 on, masked loads and stores leave alone what lies beyond.
constexpr bool kMasks = HWY_TARGET <= HWY_AVX2;

// The first min(n, kLanes) floats at p, n >= 1; zeros after them.
HWY_INLINE Vec load_some(const float* p, int64_t n) {
  const Tag d;
  if (n >= kLanes) return hn::LoadU(d, p);
  if constexpr (kMasks) return hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(n)), d, p);
  HWY_ALIGN float part[kLanes] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof(float));
  return hn::Load(d, part);
}

// The first min(n, kLanes) floats of v to p.
HWY_INLINE void store_some(Vec v, float* p, int64_t n) {
  const Tag d;
  if (n >= kLanes) return hn::StoreU(v, d, p);
  if constexpr (kMasks) return hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(n)), d, p);
  HWY_ALIGN float part[kLanes];
  hn::Store(v, d, part);
  std::memcpy(p, part, static_cast<size_t>(n) * sizeof(float));
}

// Calls body(i, v) over n floats in vectors, the last one filled up with `fill`.
template <class F>
HWY_INLINE void for_each_vector(const float* x, int64_t n, float fill, const F& body) {
  const Tag d;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, hn::LoadU(d, x + i));
  if (i == n) return;
  const auto mask = hn::FirstN(d, static_cast<size_t>(n - i));
  body(i, hn::IfThenElse(mask, load_some(x + i, n - i), hn::Set(d, fill)));
}

// into[c * into_row + r] = from[r * from_row + c] for r < rows, c < columns; in blocks of 4 x 4,
// with AVX-512 four of them below each other.
HWY_INLINE void transpose(const float* HWY_RESTRICT from, int64_t from_row, int64_t rows,
                          int64_t columns, float* HWY_RESTRICT into, int64_t into_row) {
  int64_t r = 0;
#if HWY_TARGET == HWY_AVX3
  // [row r | row r + 4 | row r + 8 | row r + 12] at the columns c .. c + 3
  const auto blocks = [from_row](const float* p) HWY_ATTR {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 4 * from_row), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 8 * from_row), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(p + 12 * from_row), 3);
  };
  for (; r + 16 <= rows; r += 16) {
    const float* a = from + r * from_row;
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const __m512 a0 = blocks(a + c), a1 = blocks(a + from_row + c),
                   a2 = blocks(a + 2 * from_row + c), a3 = blocks(a + 3 * from_row + c);
      const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(a0, a1)),
                    low23 = _mm512_castps_pd(_mm512_unpacklo_ps(a2, a3)),
                    high01 = _mm512_castps_pd(_mm512_unpackhi_ps(a0, a1)),
                    high23 = _mm512_castps_pd(_mm512_unpackhi_ps(a2, a3));
      float* y = into + c * into_row + r;
      _mm512_storeu_pd(y, _mm512_unpacklo_pd(low01, low23));
      _mm512_storeu_pd(y + into_row, _mm512_unpackhi_pd(low01, low23));
      _mm512_storeu_pd(y + 2 * into_row, _mm512_unpacklo_pd(high01, high23));
      _mm512_storeu_pd(y + 3 * into_row, _mm512_unpackhi_pd(high01, high23));
    }
    for (; c < columns; ++c) {
      for (int64_t i = 0; i < 16; ++i) into[c * into_row + r + i] = a[i * from_row + c];
    }
  }
#endif
#if HWY_TARGET != HWY_SCALAR
  const hn::Full128<float> d;
  const hn::Full128<uint64_t> pairs;
  for (; r + 4 <= rows; r += 4) {
    const float* a = from + r * from_row;
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const auto a0 = hn::LoadU(d, a + c), a1 = hn::LoadU(d, a + from_row + c);
      const auto a2 = hn::LoadU(d, a + 2 * from_row + c), a3 = hn::LoadU(d, a + 3 * from_row + c);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, a0, a1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, a2, a3));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, a0, a1));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, a2, a3));
      float* y = into + c * into_row + r;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, y);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, y + into_row);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, y + 2 * into_row);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, y + 3 * into_row);
    }
    for (; c < columns; ++c) {
      for (int64_t i = 0; i < 4; ++i) into[c * into_row + r + i] = a[i * from_row + c];
    }
  }
#endif
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) into[c * into_row + r] = from[r * from_row + c];
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
