// Bits that differ, fast.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace ocelli {

struct NearestBits {
  int row = -1, column = -1;
  int distance = 256;
};

// Rows and columns that are each other's nearest, where they differ in at most `limit` bits.
std::vector<NearestBits> mutual_nearest(std::span<const std::array<uint64_t, 4>> rows,
                                        std::span<const std::array<uint64_t, 4>> columns,
                                        int limit);

}  // namespace ocelli
