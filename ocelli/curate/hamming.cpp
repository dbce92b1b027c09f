#include "ocelli/curate/hamming.h"

#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/curate/hamming.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::HWY_NAMESPACE {

// The nearest column of each row, and the nearest row of each column. Nothing here but popcount,
// which is an instruction in every target from SSE4 on.
void nearest_both_ways(std::span<const std::array<uint64_t, 4>> rows,
                       std::span<const std::array<uint64_t, 4>> columns, NearestBits* of_row,
                       NearestBits* of_column) {
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < columns.size(); ++j) {
      int distance = 0;
      for (size_t w = 0; w < 4; ++w) distance += std::popcount(rows[i][w] ^ columns[j][w]);
      const NearestBits pair{static_cast<int>(i), static_cast<int>(j), distance};
      if (distance < of_row[i].distance) of_row[i] = pair;
      if (distance < of_column[j].distance) of_column[j] = pair;
    }
  }
}

}  // namespace ocelli::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli {

HWY_EXPORT(nearest_both_ways);

std::vector<NearestBits> mutual_nearest(std::span<const std::array<uint64_t, 4>> rows,
                                        std::span<const std::array<uint64_t, 4>> columns,
                                        int limit) {
  std::vector<NearestBits> of_row(rows.size()), of_column(columns.size()), mutual;
  HWY_DYNAMIC_DISPATCH(nearest_both_ways)(rows, columns, of_row.data(), of_column.data());
  for (const NearestBits& pair : of_row) {
    if (pair.column >= 0 && pair.distance <= limit && of_column[pair.column].row == pair.row) {
      mutual.push_back(pair);
    }
  }
  return mutual;
}

}  // namespace ocelli
#endif
