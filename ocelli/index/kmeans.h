// k-means: Lloyd's algorithm from a k-means++ start (Arthur and Vassilvitskii, 2007), assignments
// by the packed matrix product. The same for any number of threads, given the seed.
#pragma once

#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/index/rows.h"

namespace ocelli {

struct KMeansOptions {
  int64_t clusters = 0;
  bool spherical = true;  // centroids of length 1, by inner product; else Euclidean
  int iterations = 20;    // fewer when nothing changes any more
  uint64_t seed = 0;
  // Centroids are found on a sample of at most this many rows a cluster; all rows are assigned.
  int64_t sample_per_cluster = 256;
  Progress progress = {};
};

struct KMeans {
  Tensor centroids;               // [clusters, width] f32
  std::vector<RowId> cluster_of;  // of each row
  std::vector<int64_t> sizes;     // of each cluster
};

// A centroid that no row is nearest to takes the row that fits its own worst. Throws
// invalid_argument unless 1 <= clusters <= rows.
KMeans kmeans(const HalfRows& rows, const KMeansOptions& options);

// The centroids alone, [clusters, width] f32; no row is assigned.
Tensor kmeans_centroids(const HalfRows& rows, const KMeansOptions& options);

// Levels as in "Automatic Data Curation for Self-Supervised Learning" (arXiv 2405.15613): the
// centroids of a level are the rows of the next, so `clusters` falls: {1000, 100, 10}.
std::vector<KMeans> hierarchical_kmeans(const HalfRows& rows, const std::vector<int64_t>& clusters,
                                        const KMeansOptions& options);

// For rows `ids` the nearest centroid: the largest <row, c>, or <row, c> - |c|^2 / 2 when
// Euclidean.
std::vector<Hit> nearest_centroids(const HalfRows& rows, std::span<const RowId> ids,
                                   const Tensor& centroids, bool spherical);

// For every row the `count` centroids with the largest <row, c>, best first: [rows, count].
std::vector<RowId> nearest_cells(const HalfRows& rows, const Tensor& centroids, int64_t count);

}  // namespace ocelli
