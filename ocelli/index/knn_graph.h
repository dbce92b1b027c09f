// The k nearest neighbours of every row, by inner product.
#pragma once

#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/index/rows.h"

namespace ocelli {

struct KnnGraphOptions {
  int64_t k = 64;
  // Up to so many rows every pair is compared. Beyond, rows are put in 2 sqrt(rows) cells by
  // k-means, and a row is compared with the rows of the cells nearest to it (an inverted file).
  int64_t exact_below = 40000;
  int64_t probes = 8;  // cells that a row is compared with
  uint64_t seed = 0;
  Progress progress = {};
};

struct KnnGraph {
  int64_t k = 0;                // of each row: less than asked for when there are fewer rows
  std::vector<Hit> neighbours;  // [rows, k], best first, without the row itself

  std::span<const Hit> of(int64_t row) const {
    return {neighbours.data() + row * k, static_cast<size_t>(k)};
  }
};

KnnGraph knn_graph(const HalfRows& rows, const KnnGraphOptions& options = {});

}  // namespace ocelli
