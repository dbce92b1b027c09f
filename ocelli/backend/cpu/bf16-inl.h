// Vectors of floats from and to bf16 in memory.

#if defined(OCELLI_BACKEND_CPU_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_BF16_INL_H_
#undef OCELLI_BACKEND_CPU_BF16_INL_H_
#else
#define OCELLI_BACKEND_CPU_BF16_INL_H_
#endif

#include "hwy/highway.h"
#include "ocelli/backend/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

// Rounded to nearest even: bf16 in the upper half of each lane. NaN stays NaN.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<Tag>> round_to_bf16(Vec v) {
  const hn::RebindToUnsigned<Tag> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
}

// Words of two: `even` rounded in the lower halves, `odd` in the upper ones.
HWY_INLINE Vec join_bf16(Vec even, Vec odd) {
  const hn::RebindToUnsigned<Tag> du;
  const auto high = hn::And(round_to_bf16(odd), hn::Set(du, 0xffff0000u));
  return hn::BitCast(Tag(), hn::Or(high, hn::ShiftRight<16>(round_to_bf16(even))));
}

// The first min(n, kLanes) floats of v to p.
HWY_INLINE void store_bf16(Vec v, uint16_t* p, int64_t n) {
  const hn::Rebind<uint16_t, Tag> d16;
  const hn::RebindToSigned<Tag> di;
  const auto half = hn::DemoteTo(d16, hn::BitCast(di, hn::ShiftRight<16>(round_to_bf16(v))));
  if (n >= kLanes) return hn::StoreU(half, d16, p);
  HWY_ALIGN uint16_t part[kLanes];
  hn::StoreU(half, d16, part);
  std::memcpy(p, part, static_cast<size_t>(n) * sizeof(uint16_t));
}

// The first min(n, kLanes) numbers at p; zeros after them.
HWY_INLINE Vec load_bf16(const uint16_t* p, int64_t n) {
  const hn::Rebind<uint16_t, Tag> d16;
  const hn::RebindToUnsigned<Tag> du;
  const auto widen = [&](const uint16_t* from) HWY_ATTR {
    return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, from))));
  };
  if (n >= kLanes) return widen(p);
  HWY_ALIGN uint16_t part[kLanes] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof(uint16_t));
  return widen(part);
}

// Words of the first min(n, kLanes) numbers of two rows; an `odd` of null is a row of zeros.
HWY_INLINE Vec load_pairs(const float* even, const float* odd, int64_t n) {
  return join_bf16(load_some(even, n), odd ? load_some(odd, n) : hn::Zero(Tag()));
}
HWY_INLINE Vec load_pairs(const uint16_t* even, const uint16_t* odd, int64_t n) {
  const hn::RebindToUnsigned<Tag> du;
  const auto low = hn::ShiftRight<16>(hn::BitCast(du, load_bf16(even, n)));
  const auto high = odd ? hn::BitCast(du, load_bf16(odd, n)) : hn::Zero(du);
  return hn::BitCast(Tag(), hn::Or(low, high));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
