// The register tile of all matrix products: R rows of A times one panel of B.
//
//   out[r, 0..W) = sum_k A[r, k] * B[k, 0..W),   W = kVectors vectors
//
// A lies in rows `lda` apart; B is a panel of K rows of kPanel floats, one after the other
// (packed). Two vectors by 14 rows fill the 32 registers of AVX-512, by 6 rows the 16 of AVX2 and
// SSE4; the last panel of a weight may need one vector only. Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication", 2008.

#if defined(OCELLI_BACKEND_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_GEMM_INL_H_
#undef OCELLI_BACKEND_CPU_GEMM_INL_H_
#else
#define OCELLI_BACKEND_CPU_GEMM_INL_H_
#endif

#include "hwy/highway.h"
#include "ocelli/backend/cpu/tile.h"
#include "ocelli/backend/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

constexpr int64_t kPanel = 2 * kLanes;
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;

// What the sums begin with: those of the slice of K before, the bias, or zero.
template <int R, int kVectors>
HWY_INLINE void begin_tile(const TileEnd& end, Vec (&sums)[R][kVectors]) {
  const Tag d;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      if (end.start)
        sums[r][v] = hn::Load(d, end.start + r * end.keep_row + v * kLanes);
      else if (end.bias)
        sums[r][v] = hn::LoadU(d, end.bias + v * kLanes);
      else
        sums[r][v] = hn::Zero(d);
    }
  }
}

// y = residual + scale * clamp(sums)
template <int R, int kVectors>
HWY_INLINE void finish_tile(const TileEnd& end, Vec (&sums)[R][kVectors]) {
  const Tag d;
  const Vec low = hn::Set(d, end.low), high = hn::Set(d, end.high);
  const bool clamps = end.low > -kInfinity || end.high < kInfinity;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = end.columns - v * kLanes;
    if (left <= 0) break;
    const Vec scale = end.scale ? load_some(end.scale + v * kLanes, left) : hn::Set(d, 1.0f);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Vec sum = sums[r][v];
      // In this order the sum's NaN goes through.
      if (clamps) sum = hn::Min(high, hn::Max(low, sum));
      if (end.scale) sum = hn::Mul(sum, scale);
      const int64_t at = r * end.ldy + v * kLanes;
      if (end.residual) sum = hn::Add(sum, load_some(end.residual + at, left));
      store_some(sum, end.y + at, left);
    }
  }
}

template <int R, int kVectors>
HWY_NOINLINE void tile(const TileBegin& begin, const TileEnd& end) {
  const Tag d;
  Vec sums[R][kVectors];
  begin_tile(end, sums);
  // Rows in groups of three share a pointer: x86 addresses p, p + lda and p + 2 lda directly.
  const float* rows[(R + 2) / 3];
  const int64_t lda = begin.lda;
#pragma GCC unroll 8
  for (int g = 0; g < (R + 2) / 3; ++g) rows[g] = begin.a + 3 * g * lda;
  const float* HWY_RESTRICT b = begin.b;
  const auto step = [&](int64_t k) HWY_ATTR {
    Vec column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) column[v] = hn::Load(d, b + v * kLanes);
    b += kPanel;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = hn::Set(d, rows[r / 3][(r % 3) * lda + k]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(x, column[v], sums[r][v]);
    }
  };
  int64_t k = 0;
  const float* next = begin.next;
  for (; k < begin.depth && next < begin.next_end; ++k, next += 16) {
    __builtin_prefetch(next, 0, 2);
    step(k);
  }
  for (; k < begin.depth; ++k) step(k);
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

// tile<rows, ...>(...), 1 <= rows <= kTileRows.
HWY_INLINE void run_tile(int64_t rows, const TileBegin& begin, const TileEnd& end) {
  using Kernel = void (*)(const TileBegin&, const TileEnd&);
#define OCELLI_TILES(V) \
  { tile<1, V>, tile<2, V>, tile<3, V>, tile<4, V>, tile<5, V>, tile<6, V>, OCELLI_TALL_TILES(V) }
#if HWY_TARGET <= HWY_AVX3
#define OCELLI_TALL_TILES(V)                                                              \
  tile<7, V>, tile<8, V>, tile<9, V>, tile<10, V>, tile<11, V>, tile<12, V>, tile<13, V>, \
      tile<14, V>
#else
#define OCELLI_TALL_TILES(V)
#endif
  static constexpr Kernel kKernels[2][kTileRows] = {OCELLI_TILES(1), OCELLI_TILES(2)};
#undef OCELLI_TILES
#undef OCELLI_TALL_TILES
  kKernels[end.columns > kLanes][rows - 1](begin, end);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
