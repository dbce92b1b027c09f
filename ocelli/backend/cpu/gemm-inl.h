// The register tile of all matrix products: R rows of A times one panel of B.
//
//   out[r, 0..W) (+)= sum_k A[r, k] * B[k, 0..W),   W = two vectors
//
// A lies in rows `lda` apart; B is a panel of K rows of W floats, one after the other (packed). Two
// vectors by 14 rows fill the 32 registers of AVX-512, by 6 rows the 16 of AVX2 and SSE4.
// Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.

#if defined(OCELLI_BACKEND_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_GEMM_INL_H_
#undef OCELLI_BACKEND_CPU_GEMM_INL_H_
#else
#define OCELLI_BACKEND_CPU_GEMM_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vec = hn::Vec<Tag>;

constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Tag()));
constexpr int64_t kPanel = 2 * kLanes;
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;

// Rows of `out` are `ldo` apart and aligned. Not inlined: inside a larger function GCC keeps the
// accumulators in memory; what follows reads them back from the first-level cache.
template <int R>
HWY_NOINLINE void tile(const float* HWY_RESTRICT a, int64_t lda, const float* HWY_RESTRICT b,
                       int64_t depth, float* HWY_RESTRICT out, int64_t ldo, bool accumulate) {
  const Tag d;
  Vec acc0[R], acc1[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) acc0[r] = acc1[r] = hn::Zero(d);
  // Rows in groups of three share a pointer: x86 addresses p, p + lda and p + 2 lda directly.
  const float* rows[(R + 2) / 3];
#pragma GCC unroll 8
  for (int g = 0; g < (R + 2) / 3; ++g) rows[g] = a + 3 * g * lda;
  for (int64_t k = 0; k < depth; ++k) {
    const Vec b0 = hn::Load(d, b), b1 = hn::Load(d, b + kLanes);
    b += kPanel;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = hn::Set(d, rows[r / 3][(r % 3) * lda + k]);
      acc0[r] = hn::MulAdd(x, b0, acc0[r]);
      acc1[r] = hn::MulAdd(x, b1, acc1[r]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    float* row = out + r * ldo;
    hn::Store(accumulate ? hn::Add(acc0[r], hn::Load(d, row)) : acc0[r], d, row);
    hn::Store(accumulate ? hn::Add(acc1[r], hn::Load(d, row + kLanes)) : acc1[r], d, row + kLanes);
  }
}

// Rows of tile `i` of `count` that share `rows` evenly: no tile is left with a single row.
HWY_INLINE int64_t tile_begin(int64_t rows, int64_t count, int64_t i) { return rows * i / count; }

// tile<rows>(...), 1 <= rows <= kTileRows.
HWY_INLINE void tile_of(int64_t rows, const float* a, int64_t lda, const float* b, int64_t depth,
                        float* out, int64_t ldo, bool accumulate = false) {
  using Kernel = void (*)(const float*, int64_t, const float*, int64_t, float*, int64_t, bool);
  static constexpr Kernel kKernels[] = {
      tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>,
#if HWY_TARGET <= HWY_AVX3
      tile<7>, tile<8>, tile<9>, tile<10>, tile<11>, tile<12>, tile<13>, tile<14>,
#endif
  };
  kKernels[rows - 1](a, lda, b, depth, out, ldo, accumulate);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
