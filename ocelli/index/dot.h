// Inner products with half-precision rows, in f32, for the instruction set at hand (Highway). A sum
// is added up in one order for every caller, so a pair of rows has one score.
#pragma once

#include <span>

#include "ocelli/index/rows.h"

namespace ocelli {

// scores[i] = <query, rows[ids[i]]>; the query is f32 [width].
void dot_rows(const float* query, const HalfRows& rows, std::span<const RowId> ids, float* scores);

// scores[i] = <query, rows[i]> for all rows.
void dot_all(const float* query, const HalfRows& rows, float* scores);

// to[0, n) = from[0, n)
void widen(const Half* from, int64_t n, float* to);

// The places of scores above `threshold`, in order; `places` has room for n. Returns their number.
int64_t find_above(const float* scores, int64_t n, float threshold, int32_t* places);

}  // namespace ocelli
