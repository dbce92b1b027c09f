// What all matrix products share: products of words, and the ends of a register tile.
//
// A lies in rows `lda` apart; B is a panel of K rows of kPanel words, one after the other (packed).
// Two vectors by 14 rows fill the 32 registers of AVX-512, by 6 rows the 16 of AVX2 and SSE4; the
// last panel of a weight may need one vector only. Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication", 2008.

#if defined(OCELLI_BACKEND_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_GEMM_INL_H_
#undef OCELLI_BACKEND_CPU_GEMM_INL_H_
#else
#define OCELLI_BACKEND_CPU_GEMM_INL_H_
#endif

#include "hwy/highway.h"
#include "ocelli/backend/backend.h"
#include "ocelli/backend/cpu/bf16-inl.h"
#include "ocelli/backend/cpu/isa.h"
#include "ocelli/backend/cpu/tile.h"
#include "ocelli/backend/cpu/vector-inl.h"

// Highway 1.0.3 has no target with AVX-512's products of bf16 and 8-bit numbers.
#undef OCELLI_NARROW_DOTS
#if HWY_TARGET == HWY_AVX3
#define OCELLI_NARROW_DOTS 1
#else
#define OCELLI_NARROW_DOTS 0
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

constexpr int64_t kPanel = 2 * kLanes;
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;

// sum + x w, one word of x times a vector of words of w.
struct DotF32 {
  static constexpr bool kIntegers = false;
  static HWY_INLINE Vec add(Vec x, Vec w, Vec sum) { return hn::MulAdd(x, w, sum); }
};

struct DotBf16 {
  static constexpr bool kIntegers = false;
  static HWY_INLINE Vec add(Vec x, Vec w, Vec sum) {
    return hn::MulAdd(upper(x), upper(w), hn::MulAdd(lower(x), lower(w), sum));
  }

 private:
  static HWY_INLINE Vec upper(Vec v) {
    const hn::RebindToUnsigned<Tag> du;
    return hn::BitCast(Tag(), hn::And(hn::BitCast(du, v), hn::Set(du, 0xffff0000u)));
  }
  static HWY_INLINE Vec lower(Vec v) {
    const hn::RebindToUnsigned<Tag> du;
    return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::BitCast(du, v)));
  }
};

// Unsigned bytes of x times signed ones of w, whose pairs must fit 16 bits: |w| <= 63. The sums are
// integers in a vector of floats.
struct DotInt8 {
  static constexpr bool kIntegers = true;
  static HWY_INLINE Vec add(Vec x, Vec w, Vec sum) {
#if HWY_TARGET == HWY_AVX3
    const __m512i pairs =
        _mm512_maddubs_epi16(_mm512_castps_si512(x.raw), _mm512_castps_si512(w.raw));
    const __m512i quads = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    return Vec{_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sum.raw), quads))};
#elif HWY_TARGET == HWY_AVX2
    const __m256i pairs =
        _mm256_maddubs_epi16(_mm256_castps_si256(x.raw), _mm256_castps_si256(w.raw));
    const __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    return Vec{_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum.raw), quads))};
#else
    HWY_ALIGN uint8_t u[4 * kLanes];
    HWY_ALIGN int8_t s[4 * kLanes];
    HWY_ALIGN int32_t total[kLanes];
    hn::Store(x, Tag(), reinterpret_cast<float*>(u));
    hn::Store(w, Tag(), reinterpret_cast<float*>(s));
    hn::Store(sum, Tag(), reinterpret_cast<float*>(total));
    for (int64_t i = 0; i < 4 * kLanes; ++i) total[i / 4] += u[i] * s[i];
    return hn::Load(Tag(), reinterpret_cast<float*>(total));
#endif
  }
};

// What the sums begin with: those of the slice of K before, the bias, or zero.
template <class Dot, int R, int kVectors>
HWY_INLINE void begin_tile(const TileEnd& end, Vec (&sums)[R][kVectors]) {
  const Tag d;
  if (end.residual) {  // which is needed when the sums are complete
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        __builtin_prefetch(end.residual + r * end.ldy + v * kLanes);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if (end.start)
        sums[r][v] = hn::Load(d, end.start + r * end.keep_row + v * kLanes);
      else if (!Dot::kIntegers && end.bias)
        sums[r][v] = hn::LoadU(d, end.bias + v * kLanes);
      else
        sums[r][v] = hn::Zero(d);
    }
  }
}

// Integer sums to bias + row_step * column_step * sum + row_low * column_sum.
template <int R, int kVectors>
HWY_INLINE void dequantize(const TileEnd& end, Vec (&sums)[R][kVectors]) {
  const Tag d;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const Vec step = hn::LoadU(d, end.column_step + v * kLanes);
    const Vec column = hn::LoadU(d, end.column_sum + v * kLanes);
    const Vec bias = end.bias ? hn::LoadU(d, end.bias + v * kLanes) : hn::Zero(d);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const hn::RebindToSigned<Tag> di;
      const Vec sum = hn::ConvertTo(d, hn::BitCast(di, sums[r][v]));
      const Vec rest = hn::MulAdd(hn::Set(d, end.row_low[r]), column, bias);
      sums[r][v] = hn::MulAdd(sum, hn::Mul(hn::Set(d, end.row_step[r]), step), rest);
    }
  }
}

// y = residual + scale * clamp(sums)
template <int R, int kVectors>
HWY_INLINE void finish_tile(const TileEnd& end, Vec (&sums)[R][kVectors]) {
  const Tag d;
  const Vec low = hn::Set(d, end.low), high = hn::Set(d, end.high);
  const bool clamps = end.low > -kInfinity || end.high < kInfinity;
  const auto clamp = [&](Vec sum) HWY_ATTR {  // in this order the sum's NaN goes through
    return clamps ? hn::Min(high, hn::Max(low, sum)) : sum;
  };
  // What is decided once for all rows is decided here.
  if (end.columns == kVectors * kLanes && !end.scale) {
    float* y = end.y;
    const float* residual = end.residual;
#pragma GCC unroll 16
    for (int r = 0; r < R && !residual; ++r, y += end.ldy) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) hn::StoreU(clamp(sums[r][v]), d, y + v * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R && residual; ++r, y += end.ldy, residual += end.ldy) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const Vec sum = hn::Add(clamp(sums[r][v]), hn::LoadU(d, residual + v * kLanes));
        hn::StoreU(sum, d, y + v * kLanes);
      }
    }
    return;
  }
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = end.columns - v * kLanes;
    if (left <= 0) break;
    const Vec scale = end.scale ? load_some(end.scale + v * kLanes, left) : hn::Set(d, 1.0f);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Vec sum = clamp(sums[r][v]);
      if (end.scale) sum = hn::Mul(sum, scale);
      const int64_t at = r * end.ldy + v * kLanes;
      if (end.residual) sum = hn::Add(sum, load_some(end.residual + at, left));
      store_some(sum, end.y + at, left);
    }
  }
}

template <class Dot, int R, int kVectors>
HWY_INLINE void end_tile(const TileEnd& end, Vec (&sums)[R][kVectors]) {
  const Tag d;
  if constexpr (Dot::kIntegers) {
    if (end.row_step) dequantize(end, sums);
  }
  if (!end.keep) return finish_tile(end, sums);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      hn::Store(sums[r][v], d, end.keep + r * end.keep_row + v * kLanes);
  }
}

// Rows of tile `i` of `count` that share `rows` evenly: no tile is left with a single row.
HWY_INLINE int64_t tile_begin(int64_t rows, int64_t count, int64_t i) {
  return rows * i / count;
}

// Rows of n floats, ldx apart, rounded to bf16, ldy apart. They may be written over themselves.
using RoundRows = void (*)(const float* x, int64_t ldx, int64_t rows, int64_t n, uint16_t* y,
                           int64_t ldy);

namespace plain {

#define OCELLI_TILE_ATTR HWY_ATTR
#include "ocelli/backend/cpu/tile-inl.h"
#undef OCELLI_TILE_ATTR

inline void round_rows(const float* x, int64_t ldx, int64_t rows, int64_t n, uint16_t* y,
                       int64_t ldy) {
  for (; rows > 0; --rows, x += ldx, y += ldy) {
    for (int64_t i = 0; i < n; i += kLanes) store_bf16(load_some(x + i, n - i), y + i, n - i);
  }
}

}  // namespace plain

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if OCELLI_NARROW_DOTS
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR_AVX3 ",avx512vnni,avx512bf16")
namespace ocelli::backend::HWY_NAMESPACE::narrow {

struct DotBf16 {
  static constexpr bool kIntegers = false;
  static HWY_INLINE Vec add(Vec x, Vec w, Vec sum) {
    return Vec{_mm512_dpbf16_ps(sum.raw, (__m512bh)x.raw, (__m512bh)w.raw)};
  }
};

struct DotInt8 {
  static constexpr bool kIntegers = true;
  static HWY_INLINE Vec add(Vec x, Vec w, Vec sum) {
    return Vec{_mm512_castsi512_ps(_mm512_dpbusd_epi32(
        _mm512_castps_si512(sum.raw), _mm512_castps_si512(x.raw), _mm512_castps_si512(w.raw)))};
  }
};

#define OCELLI_TILE_ATTR __attribute__((target(HWY_TARGET_STR_AVX3 ",avx512vnni,avx512bf16")))
#include "ocelli/backend/cpu/tile-inl.h"
#undef OCELLI_TILE_ATTR

inline void round_rows(const float* x, int64_t ldx, int64_t rows, int64_t n, uint16_t* y,
                       int64_t ldy) {
  for (; rows > 0; --rows, x += ldx, y += ldy) {
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
      const __m512 low = _mm512_loadu_ps(x + i), high = _mm512_loadu_ps(x + i + 16);
      _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    for (; i < n; i += 16) {
      const auto mask = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
      const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
      _mm256_mask_storeu_epi16(y + i, mask, (__m256i)_mm512_cvtneps_pbh(v));
    }
  }
}

}  // namespace ocelli::backend::HWY_NAMESPACE::narrow
HWY_POP_ATTRIBUTES
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

using RunTile = void (*)(int64_t rows, const TileBegin&, const TileEnd&);

HWY_INLINE RunTile run_tile_of(Precision precision) {
#if OCELLI_NARROW_DOTS
  if (precision == Precision::bf16 && has_bf16_dots()) return narrow::run_tile<narrow::DotBf16>;
  if (precision == Precision::int8 && has_byte_dots()) return narrow::run_tile<narrow::DotInt8>;
#endif
  if (precision == Precision::bf16) return plain::run_tile<DotBf16>;
  if (precision == Precision::int8) return plain::run_tile<DotInt8>;
  return plain::run_tile<DotF32>;
}

HWY_INLINE RoundRows round_rows_here() {
#if OCELLI_NARROW_DOTS
  if (has_bf16_dots()) return narrow::round_rows;
#endif
  return plain::round_rows;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
