// Choosing rows so that every part of the space has its say, not only the crowded ones.
#pragma once

#include <vector>

#include "ocelli/index/kmeans.h"

namespace ocelli {

// Shares `budget` among parts of these sizes as evenly as their sizes allow: all get the same, but
// none more than it has. What is left over goes to the first that have more.
std::vector<int64_t> share_evenly(int64_t budget, const std::vector<int64_t>& sizes);

// At most `target` rows: the budget is shared among the clusters of the highest level, each share
// among the clusters below, and so on to the rows, which are drawn with the seed. Sorted.
// "Automatic Data Curation for Self-Supervised Learning" (arXiv 2405.15613), section 3.3.
std::vector<RowId> sample_balanced(const std::vector<KMeans>& levels, int64_t target,
                                   uint64_t seed);

}  // namespace ocelli
