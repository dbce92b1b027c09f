#include "ocelli/engine/clusters.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/formats/csv.h"
#include "ocelli/index/knn_graph.h"

namespace ocelli {
namespace {

// The vectors of images that were not removed, with their rows in the index.
class LiveVectors {
 public:
  explicit LiveVectors(const ImageIndex& index) : rows_(index.catalogue().rows()) {
    if (static_cast<int64_t>(rows_.size()) == index.vectors().count) {
      view_ = index.vectors();
    } else {
      copy_ = HalfMatrix(index.vectors(), rows_);
      view_ = copy_;
    }
  }

  const HalfRows& vectors() const { return view_; }
  std::string path(const ImageIndex& index, int64_t i) const {
    return index.catalogue().find_row(rows_[i]).value().path;
  }

 private:
  std::vector<RowId> rows_;
  HalfMatrix copy_;
  HalfRows view_;
};

std::vector<int64_t> level_sizes(const ClusterOptions& options) {
  std::vector<int64_t> sizes;
  for (int64_t level = 0; level < options.levels; ++level) {
    const double share = static_cast<double>(options.levels - level) / options.levels;
    const double size = std::pow(static_cast<double>(options.clusters), share);
    sizes.push_back(std::max<int64_t>(1, std::llround(size)));
  }
  return sizes;
}

std::vector<Cluster> lowest_level(const ImageIndex& index, const LiveVectors& live,
                                  const KMeans& means) {
  std::vector<RowId> ids(live.vectors().count);
  std::iota(ids.begin(), ids.end(), RowId{0});
  const std::vector<Hit> nearest = nearest_centroids(live.vectors(), ids, means.centroids, true);
  std::vector<Cluster> clusters(means.sizes.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    clusters[means.cluster_of[i]].members.push_back(
        {live.path(index, static_cast<int64_t>(i)), nearest[i].score});
  }
  for (Cluster& cluster : clusters) {
    std::ranges::stable_sort(cluster.members, std::greater(), &ClusterMember::score);
    cluster.size = static_cast<int64_t>(cluster.members.size());
  }
  return clusters;
}

}  // namespace

std::vector<std::vector<Cluster>> cluster_images(const ImageIndex& index,
                                                 const ClusterOptions& options) {
  const LiveVectors live(index);
  check(options.clusters >= 1 && options.clusters <= live.vectors().count,
        "-k {}: 1 to {} clusters are possible, the images of the index", options.clusters,
        live.vectors().count);
  check(options.levels >= 1 && options.levels <= 8, "--hierarchical {}: 1 to 8 levels are possible",
        options.levels);
  const std::vector<KMeans> means = hierarchical_kmeans(
      live.vectors(), level_sizes(options), {.seed = options.seed, .progress = options.progress});
  std::vector<std::vector<Cluster>> levels = {lowest_level(index, live, means[0])};
  for (size_t level = 1; level < means.size(); ++level) {
    std::vector<Cluster>& below = levels.back();
    std::vector<Cluster> clusters(means[level].sizes.size());
    for (size_t i = 0; i < below.size(); ++i) {
      below[i].parent = means[level].cluster_of[i];
      clusters[below[i].parent].size += below[i].size;
    }
    levels.push_back(std::move(clusters));
  }
  return levels;
}

void write_clusters_csv(const std::string& path, const std::vector<std::vector<Cluster>>& levels) {
  AtomicFile file(path);
  CsvRow header = {"path", "cluster"};
  for (size_t level = 1; level < levels.size(); ++level)
    header.push_back(fmt::format("level{}", level + 1));
  file.write(csv_line(header));
  for (size_t i = 0; i < levels[0].size(); ++i) {
    CsvRow places = {std::to_string(i)};
    for (size_t level = 0, at = i; level + 1 < levels.size(); ++level) {
      at = static_cast<size_t>(levels[level][at].parent);
      places.push_back(std::to_string(at));
    }
    for (const ClusterMember& member : levels[0][i].members) {
      CsvRow row = {member.path};
      row.insert(row.end(), places.begin(), places.end());
      file.write(csv_line(row));
    }
  }
  file.commit();
}

std::vector<Outlier> find_outliers(const ImageIndex& index, int64_t count, int64_t k,
                                   const Progress& progress) {
  check(k >= 1, "-k {}: at least 1 is needed", k);
  const LiveVectors live(index);
  const KnnGraph graph = knn_graph(live.vectors(), {.k = k, .progress = progress});
  check(graph.k > 0, "outliers: the index has fewer than two images");
  std::vector<Hit> order;
  for (int64_t i = 0; i < live.vectors().count; ++i) {
    float sum = 0;
    for (const Hit& hit : graph.of(i)) sum += hit.score;
    order.push_back({sum / static_cast<float>(graph.k), static_cast<RowId>(i)});
  }
  std::ranges::sort(order, {}, [](const Hit& hit) { return std::pair(hit.score, hit.row); });
  order.resize(std::min<size_t>(order.size(), static_cast<size_t>(count)));
  std::vector<Outlier> outliers;
  for (const Hit& hit : order) {
    outliers.push_back(
        {live.path(index, hit.row), live.path(index, graph.of(hit.row)[0].row), hit.score});
  }
  return outliers;
}

}  // namespace ocelli
