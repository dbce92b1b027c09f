// Groups of duplicates from pairs of them, without chains.
#pragma once

#include <vector>

#include "ocelli/index/rows.h"

namespace ocelli {

struct ScoredPair {
  RowId a = 0, b = 0;
  float score = 0;
};

struct DuplicateGroup {
  struct Member {
    RowId row = 0;
    float score = 0;  // of the pair with the kept one; else the weakest pair on the way there
    RowId via = 0;    // the member that ties it to the kept one, or the kept one itself
  };
  RowId keep = 0;
  std::vector<Member> duplicates;  // best first
};

// Pairs of at least `threshold` make a graph. Its best node (the smallest rank) becomes the kept
// one of a group, which takes what is at most `hops` pairs away from it; then the best of those
// that are left, and so on. So no member is further than 2 `hops` from another, and whatever a
// chain would have pulled in beyond begins a group of its own. `rank` has no equal numbers.
std::vector<DuplicateGroup> group_duplicates(const std::vector<ScoredPair>& pairs,
                                             const std::vector<int64_t>& rank, float threshold,
                                             int hops = 2);

}  // namespace ocelli
