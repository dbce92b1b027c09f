// What a register tile (tile-inl.h) reads and what it makes of its sums.
#pragma once

#include <cstdint>
#include <limits>

namespace ocelli::backend {

// Of rows or panels.
struct Range {
  int64_t begin, end;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Rows and panels are made of words of 32 bits: one f32, two bf16 or four 8-bit numbers that lie
// next to each other along K. `depth` and `lda` count words.
struct TileBegin {
  const float* a;
  int64_t lda;
  const float* b;  // a panel, from its first row on
  int64_t depth;
  // To be fetched into the cache on the way: the panel that comes next, or the tile's share of it.
  const float *next = nullptr, *next_end = nullptr;
  int64_t step = 1;  // between a row's words, where A lies with its columns side by side
};

struct TileEnd {
  int64_t columns;               // of the panel that are wanted
  const float* bias = nullptr;   // sums begin with it; a whole panel
  const float* start = nullptr;  // or the sums of the K before, in rows keep_row apart, aligned
  float* keep = nullptr;         // the sums go here unfinished, likewise
  int64_t keep_row = 0;
  float* y = nullptr;  // residual + scale * clamp(sums), rows ldy apart
  const float *residual = nullptr, *scale = nullptr;
  int64_t ldy = 0;
  float low = -kInfinity, high = kInfinity;
  // Of 8-bit products, on their last slice: x = row_low + row_step * u, w = column_step * s, so
  // x w = row_step * column_step * (u s) + row_low * column_sum with column_sum = sum of w.
  const float *row_step = nullptr, *row_low = nullptr;
  const float *column_step = nullptr, *column_sum = nullptr;
};

}  // namespace ocelli::backend
