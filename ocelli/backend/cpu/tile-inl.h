// The register tile: R rows of A times one panel of B.
//
//   out[r, 0..W) = sum_k A[r, k] * B[k, 0..W),   W = kVectors vectors
//
// Included by gemm-inl.h once for the instructions that every processor of a target has, and once
// more for those that only some have (OCELLI_TILE_ATTR names them for the lambda); Dot is one of
// its products of words.

template <class Dot, int R, int kVectors>
HWY_NOINLINE void tile(const TileBegin& begin, const TileEnd& end) {
  const Tag d;
  Vec sums[R][kVectors];
  begin_tile<Dot>(end, sums);
  // Rows in groups of three share a pointer: x86 addresses p, p + lda and p + 2 lda directly.
  const float* rows[(R + 2) / 3];
  const int64_t lda = begin.lda;
#pragma GCC unroll 8
  for (int g = 0; g < (R + 2) / 3; ++g) rows[g] = begin.a + 3 * g * lda;
  const float* HWY_RESTRICT b = begin.b;
  int64_t at = 0;
  const auto step = [&]() OCELLI_TILE_ATTR {
    Vec column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) column[v] = hn::Load(d, b + v * kLanes);
    b += kPanel;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = hn::Set(d, rows[r / 3][(r % 3) * lda + at]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Dot::add(x, column[v], sums[r][v]);
    }
    at += begin.step;
  };
  int64_t k = 0;
  const float* next = begin.next;
  for (; k < begin.depth && next < begin.next_end; ++k, next += 16) {
    __builtin_prefetch(next, 0, 2);
    step();
  }
  for (; k < begin.depth; ++k) step();
  end_tile<Dot>(end, sums);
}

// tile<Dot, rows, ...>(...), 1 <= rows <= kTileRows.
template <class Dot>
void run_tile(int64_t rows, const TileBegin& begin, const TileEnd& end) {
  using Kernel = void (*)(const TileBegin&, const TileEnd&);
#define OCELLI_TILES(V)                                                                  \
  {                                                                                      \
    tile<Dot, 1, V>, tile<Dot, 2, V>, tile<Dot, 3, V>, tile<Dot, 4, V>, tile<Dot, 5, V>, \
        tile<Dot, 6, V>, OCELLI_TALL_TILES(V)                                            \
  }
#if HWY_TARGET <= HWY_AVX3
#define OCELLI_TALL_TILES(V)                                                             \
  tile<Dot, 7, V>, tile<Dot, 8, V>, tile<Dot, 9, V>, tile<Dot, 10, V>, tile<Dot, 11, V>, \
      tile<Dot, 12, V>, tile<Dot, 13, V>, tile<Dot, 14, V>
#else
#define OCELLI_TALL_TILES(V)
#endif
  static constexpr Kernel kKernels[2][kTileRows] = {OCELLI_TILES(1), OCELLI_TILES(2)};
#undef OCELLI_TILES
#undef OCELLI_TALL_TILES
  kKernels[end.columns > kLanes][rows - 1](begin, end);
}
