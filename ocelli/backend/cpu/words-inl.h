// Rows as words (tile.h): what an operand of a product of bf16 or 8-bit numbers looks like.

#if defined(OCELLI_BACKEND_CPU_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_WORDS_INL_H_
#undef OCELLI_BACKEND_CPU_WORDS_INL_H_
#else
#define OCELLI_BACKEND_CPU_WORDS_INL_H_
#endif

#include <algorithm>

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

// n numbers of a row as words, with a zero to fill up the last one.
HWY_INLINE void row_to_bf16(const float* x, int64_t n, float* words) {
  const RoundRows round_rows = round_rows_here();
  auto* into = reinterpret_cast<uint16_t*>(words);
  round_rows(x, n, 1, n, into, n);
  if (n % 2) into[n] = 0;
}
HWY_INLINE void row_to_bf16(const uint16_t* x, int64_t n, float* words) {
  auto* into = reinterpret_cast<uint16_t*>(words);
  std::copy_n(x, n, into);
  if (n % 2) into[n] = 0;
}

// The whole range of the row, so that an activation that is positive uses all of a byte. A row with
// NaN or infinity has a step of NaN.
template <class T>
HWY_INLINE ByteScale byte_scale(const T* x, int64_t n) {
  const Tag d;
  if (n == 0) return {};
  const float first = hn::GetLane(load_number(x, 1));
  Vec low = hn::Set(d, first), high = low, nothing = hn::Zero(d);
  const auto take = [&](Vec v) HWY_ATTR {
    low = hn::Min(low, v);
    high = hn::Max(high, v);
    nothing = hn::MulAdd(v, hn::Zero(d), nothing);
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) take(load_number(x + i, kLanes));
  for (; i < n; ++i) take(hn::Set(d, hn::GetLane(load_number(x + i, 1))));
  const float least = hn::GetLane(hn::MinOfLanes(d, low)),
              most = hn::GetLane(hn::MaxOfLanes(d, high));
  return {least, (most - least) / 255 + hn::GetLane(hn::SumOfLanes(d, nothing))};
}

// And zeros up to a whole word. Returns 0, or where kWatch and there is NaN or infinity, NaN.
template <bool kWatch, class T>
HWY_INLINE float row_to_bytes(const T* x, int64_t n, ByteScale scale, float* words) {
  const Tag d;
  const hn::Rebind<uint8_t, Tag> d8;
  auto* into = reinterpret_cast<uint8_t*>(words);
  const Vec inverse = hn::Set(d, scale.step > 0 ? 1 / scale.step : 0.0f);
  const Vec shift = hn::Set(d, -scale.low);
  Vec nothing = hn::Zero(d);
  const auto bytes = [&](Vec v) HWY_ATTR {
    if (kWatch) nothing = hn::MulAdd(v, hn::Zero(d), nothing);
    return hn::DemoteTo(d8, hn::NearestInt(hn::Mul(hn::Add(v, shift), inverse)));
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(bytes(load_number(x + i, kLanes)), d8, into + i);
  if (i < n) {
    HWY_ALIGN uint8_t part[kLanes];
    hn::StoreU(bytes(load_number(x + i, n - i)), d8, part);
    std::copy_n(part, n - i, into + i);
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
