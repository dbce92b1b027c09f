#include "ocelli/index/dot.h"

#include "ocelli/backend/backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/index/dot.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using backend::HWY_NAMESPACE::kLanes;
using backend::HWY_NAMESPACE::load_some;
using backend::HWY_NAMESPACE::Tag;
using backend::HWY_NAMESPACE::Vec;

constexpr int64_t kTogether = 4;  // rows whose loads and sums overlap

HWY_INLINE Vec load_half(const Half* p) {
  const hn::Rebind<hwy::float16_t, Tag> d;
  return hn::PromoteTo(Tag(), hn::LoadU(d, reinterpret_cast<const hwy::float16_t*>(p)));
}

// The last n < kLanes values of a row.
HWY_INLINE Vec load_half_some(const Half* p, int64_t n) {
  Half part[kLanes] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof(Half));
  return load_half(part);
}

// Even and odd vectors of a row have a sum each; the sums come together at the end.
template <int R>
HWY_INLINE void dot(const float* query, const Half* const* rows, int64_t width, float* scores) {
  const Tag d;
  Vec even[R], odd[R];
  for (int r = 0; r < R; ++r) even[r] = odd[r] = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    const Vec q0 = hn::LoadU(d, query + i), q1 = hn::LoadU(d, query + i + kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      even[r] = hn::MulAdd(q0, load_half(rows[r] + i), even[r]);
      odd[r] = hn::MulAdd(q1, load_half(rows[r] + i + kLanes), odd[r]);
    }
  }
  for (; i < width; i += kLanes) {
    const int64_t left = width - i;
    const Vec q = load_some(query + i, left);
    for (int r = 0; r < R; ++r) {
      const Vec x = left >= kLanes ? load_half(rows[r] + i) : load_half_some(rows[r] + i, left);
      even[r] = hn::MulAdd(q, x, even[r]);
    }
  }
  for (int r = 0; r < R; ++r) {
    scores[r] = hn::GetLane(hn::SumOfLanes(d, hn::Add(even[r], odd[r])));
  }
}

HWY_INLINE void prefetch(const Half* row, int64_t width) {
  const auto* line = reinterpret_cast<const char*>(row);
  for (const char* end = line + width * static_cast<int64_t>(sizeof(Half)); line < end;
       line += 64) {
    __builtin_prefetch(line, 0, 3);
  }
}

// scores[i] = <query, row_at(i)>
template <class RowAt>
HWY_INLINE void dot_each(const float* query, int64_t n, int64_t width, const RowAt& row_at,
                         float* scores) {
  int64_t i = 0;
  for (; i < std::min(n, kTogether); ++i) prefetch(row_at(i), width);
  for (i = 0; i + kTogether <= n; i += kTogether) {
    const Half* rows[kTogether];
    for (int64_t r = 0; r < kTogether; ++r) {
      rows[r] = row_at(i + r);
      if (i + kTogether + r < n) prefetch(row_at(i + kTogether + r), width);
    }
    dot<kTogether>(query, rows, width, scores + i);
  }
  for (; i < n; ++i) {
    const Half* row = row_at(i);
    dot<1>(query, &row, width, scores + i);
  }
}

void dot_listed(const float* query, const HalfRows& rows, const RowId* ids, int64_t n,
                float* scores) {
  dot_each(
      query, n, rows.width, [&](int64_t i) { return rows.row(ids[i]); }, scores);
}

void dot_in_order(const float* query, const HalfRows& rows, float* scores) {
  dot_each(
      query, rows.count, rows.width, [&](int64_t i) { return rows.row(i); }, scores);
}

void widen(const Half* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(load_half(from + i), Tag(), to + i);
  for (; i < n; ++i) to[i] = to_float(from[i]);
}

int64_t find_above(const float* scores, int64_t n, float threshold, int32_t* places) {
  const Tag d;
  const Vec limit = hn::Set(d, threshold);
  int64_t found = 0, i = 0;
  const auto look = [&](int64_t end) {
    for (; i < end; ++i) {
      if (scores[i] > threshold) places[found++] = static_cast<int32_t>(i);
    }
  };
  while (i + kLanes <= n) {
    if (hn::AllFalse(d, hn::Gt(hn::LoadU(d, scores + i), limit))) {
      i += kLanes;
    } else {
      look(i + kLanes);
    }
  }
  look(n);
  return found;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli {

HWY_EXPORT(dot_listed);
HWY_EXPORT(dot_in_order);
HWY_EXPORT(widen);
HWY_EXPORT(find_above);

void dot_rows(const float* query, const HalfRows& rows, std::span<const RowId> ids, float* scores) {
  backend::cpu();  // reads OCELLI_MAX_ISA
  HWY_DYNAMIC_DISPATCH(dot_listed)
  (query, rows, ids.data(), static_cast<int64_t>(ids.size()), scores);
}

void dot_all(const float* query, const HalfRows& rows, float* scores) {
  HWY_DYNAMIC_DISPATCH(dot_in_order)(query, rows, scores);
}

void widen(const Half* from, int64_t n, float* to) {
  HWY_DYNAMIC_DISPATCH(widen)(from, n, to);
}

int64_t find_above(const float* scores, int64_t n, float threshold, int32_t* places) {
  return HWY_DYNAMIC_DISPATCH(find_above)(scores, n, threshold, places);
}

}  // namespace ocelli
#endif  // HWY_ONCE
