// What an index looks like as a whole: clusters of images, and images unlike all others.
#pragma once

#include "ocelli/index/image_index.h"
#include "ocelli/index/kmeans.h"

namespace ocelli {

struct ClusterMember {
  std::string path;
  float score = 0;  // cosine with the centre
};

struct Cluster {
  int64_t parent = -1;                 // the cluster of the level above that this one belongs to
  std::vector<ClusterMember> members;  // nearest to the centre first; of the lowest level only
  int64_t size = 0;                    // images, on all levels
};

struct ClusterOptions {
  int64_t clusters = 0;  // of the lowest level
  int64_t levels = 1;    // level l of L has clusters^((L - l) / L)
  uint64_t seed = 0;
  Progress progress = {};
};

// Spherical k-means, or levels of it (kmeans.h). The lowest level comes first.
std::vector<std::vector<Cluster>> cluster_images(const ImageIndex& index,
                                                 const ClusterOptions& options);

// A line `path,cluster` an image, with a column a level. Written atomically.
void write_clusters_csv(const std::string& file, const std::vector<std::vector<Cluster>>& levels);

struct Outlier {
  std::string path, nearest;
  float score = 0;  // mean cosine with its k nearest
};

// The `count` images with the lowest score, lowest first.
std::vector<Outlier> find_outliers(const ImageIndex& index, int64_t count, int64_t k,
                                   const Progress& progress = {});

}  // namespace ocelli
