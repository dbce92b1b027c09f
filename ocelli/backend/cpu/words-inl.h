// Rows as words (tile.h): what an operand of a product of bf16 or 8-bit numbers looks like.

#if defined(OCELLI_BACKEND_CPU_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_WORDS_INL_H_
#undef OCELLI_BACKEND_CPU_WORDS_INL_H_
#else
#define OCELLI_BACKEND_CPU_WORDS_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "hwy/highway.h"
#include "ocelli/backend/cpu/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

HWY_INLINE Vec load_number(const float* p, int64_t n) {
  return load_some(p, n);
}
HWY_INLINE Vec load_number(const uint16_t* p, int64_t n) {
  return load_bf16(p, n);
}

// n numbers of a row, T float or uint16_t (bf16).
template <class T>
HWY_INLINE void row_to_f32(const T* x, int64_t n, float* words) {
  for (int64_t i = 0; i < n; i += kLanes) store_some(load_number(x + i, n - i), words + i, n - i);
}

// n numbers of each row as words, with a zero to fill up the last one.
HWY_INLINE void rows_to_bf16(const float* x, int64_t ldx, int64_t rows, int64_t n, float* words,
                             int64_t row) {
  auto* into = reinterpret_cast<uint16_t*>(words);
  round_rows_here()(x, ldx, rows, n, into, 2 * row);
  for (int64_t r = 0; n % 2 && r < rows; ++r) into[2 * r * row + n] = 0;
}
HWY_INLINE void rows_to_bf16(const uint16_t* x, int64_t ldx, int64_t rows, int64_t n, float* words,
                             int64_t row) {
  for (; rows > 0; --rows, x += ldx, words += row) {
    auto* into = reinterpret_cast<uint16_t*>(words);
    std::copy_n(x, n, into);
    if (n % 2) into[n] = 0;
  }
}

// The whole range of the row, so that an activation that is positive uses all of a byte. A row with
// NaN or infinity has a step of NaN.
template <class T>
HWY_INLINE ByteScale byte_scale(const T* x, int64_t n) {
  const Tag d;
  if (n == 0) return {};
  Vec low = hn::Set(d, hn::GetLane(load_number(x, 1))), high = low, nothing = hn::Zero(d);
  const auto take = [&](Vec v) HWY_ATTR {
    low = hn::Min(low, v);
    high = hn::Max(high, v);
    nothing = hn::MulAdd(v, hn::Zero(d), nothing);
  };
  if (n < kLanes) {
    take(hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(n)), load_number(x, n), low));
  } else {
    for (int64_t i = 0; i + kLanes < n; i += kLanes) take(load_number(x + i, kLanes));
    take(load_number(x + n - kLanes, kLanes));
  }
  const float least = hn::GetLane(hn::MinOfLanes(d, low)),
              most = hn::GetLane(hn::MaxOfLanes(d, high));
  const bool finite = hn::AllFalse(d, hn::IsNaN(nothing));
  return {least, finite ? (most - least) / 255 : std::numeric_limits<float>::quiet_NaN()};
}

// The first min(n, kLanes) of v, rounded to 0 .. 255.
HWY_INLINE void store_bytes(Vec v, uint8_t* p, int64_t n) {
#if HWY_TARGET == HWY_AVX3
  const __m512i numbers = _mm512_cvtps_epi32(hn::Max(v, hn::Zero(Tag())).raw);
  if (n >= kLanes)
    return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(numbers));
  _mm512_mask_cvtusepi32_storeu_epi8(p, static_cast<__mmask16>((1 << n) - 1), numbers);
#else
  const hn::Rebind<uint8_t, Tag> d8;
  const auto bytes = hn::DemoteTo(d8, hn::NearestInt(v));
  if (n >= kLanes) return hn::StoreU(bytes, d8, p);
  HWY_ALIGN uint8_t part[kLanes];
  hn::StoreU(bytes, d8, part);
  std::copy_n(part, n, p);
#endif
}

// And zeros up to a whole word. Returns 0, or where kWatch and there is NaN or infinity, NaN.
template <bool kWatch, class T>
HWY_INLINE float row_to_bytes(const T* x, int64_t n, ByteScale scale, float* words) {
  const Tag d;
  auto* into = reinterpret_cast<uint8_t*>(words);
  const Vec inverse = hn::Set(d, scale.step > 0 ? 1 / scale.step : 0.0f);
  const Vec shift = hn::Set(d, -scale.low);
  Vec nothing = hn::Zero(d);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec v = load_number(x + i, n - i);
    if (kWatch) nothing = hn::MulAdd(v, hn::Zero(d), nothing);
    store_bytes(hn::Mul(hn::Add(v, shift), inverse), into + i, n - i);
  }
  std::fill(into + n, into + (n + 3) / 4 * 4, uint8_t{0});
  return kWatch ? hn::GetLane(hn::SumOfLanes(d, nothing)) : 0;
}

// Signed bytes of a row of a weight: w = step * s, |s| <= most.
HWY_INLINE void row_to_signed_bytes(const float* w, int64_t n, float step, float* words) {
  const Tag d;
  const hn::Rebind<int8_t, Tag> d8;
  auto* into = reinterpret_cast<int8_t*>(words);
  const Vec inverse = hn::Set(d, step > 0 ? 1 / step : 0.0f);
  for (int64_t i = 0; i < n; i += kLanes) {
    HWY_ALIGN int8_t part[kLanes];
    hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(hn::Mul(load_some(w + i, n - i), inverse))), d8,
               part);
    std::copy_n(part, std::min(kLanes, n - i), into + i);
  }
  std::fill(into + n, into + (n + 3) / 4 * 4, int8_t{0});
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
