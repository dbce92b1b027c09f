// What a register tile (gemm-inl.h) reads and what it makes of its sums.
#pragma once

#include <cstdint>
#include <limits>

namespace ocelli::backend {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct TileBegin {
  const float* a;
  int64_t lda;
  const float* b;  // a panel, from its first row on
  int64_t depth;
  // To be fetched into the cache on the way: the panel that comes next, or the tile's share of it.
  const float *next = nullptr, *next_end = nullptr;
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
};

}  // namespace ocelli::backend
