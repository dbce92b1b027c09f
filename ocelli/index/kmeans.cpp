#include "ocelli/index/kmeans.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/backend/backend.h"
#include "ocelli/base/rng.h"
#include "ocelli/base/threads.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/exact_search.h"

namespace ocelli {
namespace {

constexpr int64_t kAssignedRows = 128;  // rows assigned together
constexpr int64_t kStartSample = 16;    // rows a cluster that the start is drawn from

std::vector<RowId> all_rows(int64_t count) {
  std::vector<RowId> ids(count);
  std::iota(ids.begin(), ids.end(), RowId{0});
  return ids;
}

double uniform(Rng& rng) {
  const uint64_t high = rng.next_u32() >> 5, low = rng.next_u32() >> 6;
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

// `count` of `ids` without repetition, sorted (Vitter's algorithm R).
std::vector<RowId> sample(const std::vector<RowId>& ids, int64_t count, Rng& rng) {
  const auto total = static_cast<int64_t>(ids.size());
  if (count >= total) return ids;
  std::vector<RowId> chosen(ids.begin(), ids.begin() + count);
  for (int64_t i = count; i < total; ++i) {
    const auto place = static_cast<int64_t>(uniform(rng) * static_cast<double>(i + 1));
    if (place < count) chosen[place] = ids[i];
  }
  std::ranges::sort(chosen);
  return chosen;
}

float squared_norm(const float* x, int64_t width) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<double>(x[i]) * x[i];
  return static_cast<float>(sum);
}

void scale_to_one(float* x, int64_t width) {
  const float norm = std::sqrt(squared_norm(x, width));
  for (int64_t i = 0; norm > 0 && i < width; ++i) x[i] /= norm;
}

class Lloyd {
 public:
  Lloyd(const HalfRows& rows, const KMeansOptions& options, std::vector<RowId> ids, Rng& rng)
      : rows_(rows),
        options_(options),
        ids_(std::move(ids)),
        centroids_(Tensor::empty({options.clusters, rows.width})) {
    start(rng);
  }

  Tensor run() {
    std::vector<Hit> previous;
    for (int i = 0; i < options_.iterations; ++i) {
      throw_if_cancelled();
      std::vector<Hit> nearest = nearest_centroids(rows_, ids_, centroids_, options_.spherical);
      const bool still =
          !previous.empty() && std::ranges::equal(nearest, previous, {}, &Hit::row, &Hit::row);
      if (still) break;
      fill_empty(nearest);
      update(nearest);
      previous = std::move(nearest);
      if (options_.progress) options_.progress(i + 1, options_.iterations);
    }
    return centroids_;
  }

 private:
  float* centroid(int64_t c) { return centroids_.data<float>() + c * rows_.width; }

  // Each further centroid is a row drawn with probability proportional to its squared distance
  // from the nearest so far.
  void start(Rng& rng) {
    const std::vector<RowId> from = sample(ids_, kStartSample * options_.clusters, rng);
    const auto count = static_cast<int64_t>(from.size());
    std::vector<float> norms(count), distance(count, INFINITY), scores(count);
    parallel_for(count, 256, [&](int64_t begin, int64_t end) {
      std::vector<float> wide(rows_.width);
      for (int64_t i = begin; i < end; ++i) {
        widen(rows_.row(from[i]), rows_.width, wide.data());
        norms[i] = squared_norm(wide.data(), rows_.width);
      }
    });
    auto chosen = static_cast<int64_t>(uniform(rng) * static_cast<double>(count));
    for (int64_t c = 0; c < options_.clusters; ++c) {
      throw_if_cancelled();
      if (c > 0) chosen = draw(distance, rng);
      widen(rows_.row(from[chosen]), rows_.width, centroid(c));
      const float norm = norms[chosen];
      parallel_for(count, 2048, [&](int64_t begin, int64_t end) {
        const std::span ids(from.data() + begin, static_cast<size_t>(end - begin));
        dot_rows(centroid(c), rows_, ids, scores.data() + begin);
        for (int64_t i = begin; i < end; ++i) {
          distance[i] = std::min(distance[i], std::max(0.0f, norms[i] + norm - 2 * scores[i]));
        }
      });
      distance[chosen] = 0;
    }
    if (options_.spherical) {
      for (int64_t c = 0; c < options_.clusters; ++c) scale_to_one(centroid(c), rows_.width);
    }
  }

  static int64_t draw(const std::vector<float>& weights, Rng& rng) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    double left = uniform(rng) * total;
    for (size_t i = 0; i < weights.size(); ++i) {
      left -= weights[i];
      if (left < 0) return static_cast<int64_t>(i);
    }
    return static_cast<int64_t>(uniform(rng) * static_cast<double>(weights.size()));
  }

  void fill_empty(std::vector<Hit>& nearest) const {
    std::vector<int64_t> sizes(options_.clusters);
    for (const Hit& hit : nearest) ++sizes[hit.row];
    const int64_t empty = std::ranges::count(sizes, 0);
    if (empty == 0) return;
    std::vector<int64_t> worst(nearest.size());
    std::iota(worst.begin(), worst.end(), int64_t{0});
    std::ranges::stable_sort(worst, {}, [&](int64_t i) { return nearest[i].score; });
    auto next = worst.begin();
    for (int64_t c = 0; c < options_.clusters; ++c) {
      if (sizes[c] > 0) continue;
      while (next != worst.end() && sizes[nearest[*next].row] <= 1) ++next;
      if (next == worst.end()) return;
      --sizes[nearest[*next].row];
      nearest[*next++].row = static_cast<RowId>(c);
      sizes[c] = 1;
    }
  }

  // Means (scaled to length 1 when spherical); a centroid adds its rows in their order.
  void update(const std::vector<Hit>& nearest) {
    std::vector<std::vector<RowId>> members(options_.clusters);
    for (size_t i = 0; i < nearest.size(); ++i) members[nearest[i].row].push_back(ids_[i]);
    parallel_for(options_.clusters, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> wide(rows_.width);
      for (int64_t c = begin; c < end; ++c) {
        if (members[c].empty()) continue;
        float* sum = centroid(c);
        std::fill_n(sum, rows_.width, 0.0f);
        for (const RowId row : members[c]) {
          widen(rows_.row(row), rows_.width, wide.data());
          for (int64_t j = 0; j < rows_.width; ++j) sum[j] += wide[j];
        }
        const auto count = static_cast<float>(members[c].size());
        for (int64_t j = 0; j < rows_.width; ++j) sum[j] /= count;
        if (options_.spherical) scale_to_one(sum, rows_.width);
      }
    });
  }

  const HalfRows& rows_;
  const KMeansOptions& options_;
  const std::vector<RowId> ids_;
  Tensor centroids_;
};

}  // namespace

namespace {

// Calls visit(i, scores) with the scores [clusters] of each row ids[i], from several threads.
template <typename Visit>
void score_centroids(const HalfRows& rows, std::span<const RowId> ids, const Tensor& centroids,
                     bool spherical, const Visit& visit) {
  const int64_t clusters = centroids.size(0), width = rows.width;
  check(centroids.size(1) == width, "k-means: centroids of {} numbers for rows of {}",
        centroids.size(1), width);
  Tensor bias;
  if (!spherical) {
    bias = Tensor::empty({clusters});
    for (int64_t c = 0; c < clusters; ++c) {
      bias.data<float>()[c] = -0.5f * squared_norm(centroids.data<float>() + c * width, width);
    }
  }
  const View bias_view = bias;
  const auto packed = backend::cpu().pack_linear(centroids, spherical ? nullptr : &bias_view);
  const auto count = static_cast<int64_t>(ids.size());
  parallel_for((count + kAssignedRows - 1) / kAssignedRows, 1, [&](int64_t first, int64_t last) {
    const Tensor x = Tensor::empty({kAssignedRows, width}),
                 y = Tensor::empty({kAssignedRows, clusters});
    for (int64_t block = first; block < last; ++block) {
      throw_if_cancelled();
      const int64_t begin = block * kAssignedRows, n = std::min(kAssignedRows, count - begin);
      detail::gather(rows, ids.subspan(begin, n), x.data<float>());
      backend::cpu().linear(y.slice(0, 0, n), x.slice(0, 0, n), *packed, {});
      for (int64_t i = 0; i < n; ++i) {
        visit(begin + i, std::span<const float>(y.data<float>() + i * clusters, clusters));
      }
    }
  });
}

}  // namespace

std::vector<Hit> nearest_centroids(const HalfRows& rows, std::span<const RowId> ids,
                                   const Tensor& centroids, bool spherical) {
  std::vector<Hit> nearest(ids.size());
  score_centroids(rows, ids, centroids, spherical, [&](int64_t i, std::span<const float> scores) {
    const auto best = std::ranges::max_element(scores);
    nearest[i] = {*best, static_cast<RowId>(best - scores.begin())};
  });
  return nearest;
}

std::vector<RowId> nearest_cells(const HalfRows& rows, const Tensor& centroids, int64_t count) {
  const std::vector<RowId> numbers = all_rows(centroids.size(0));
  std::vector<RowId> nearest(rows.count * count);
  score_centroids(rows, all_rows(rows.count), centroids, true,
                  [&](int64_t i, std::span<const float> scores) {
                    TopK best(count);
                    best.add(scores, numbers.data());
                    const std::vector<Hit> hits = best.take();
                    std::ranges::transform(hits, nearest.begin() + i * count, &Hit::row);
                  });
  return nearest;
}

Tensor kmeans_centroids(const HalfRows& rows, const KMeansOptions& options) {
  check(options.clusters >= 1 && options.clusters <= rows.count,
        "k-means: {} clusters of {} rows; at least 1 and at most one a row are possible",
        options.clusters, rows.count);
  Rng rng(options.seed);
  std::vector<RowId> some =
      sample(all_rows(rows.count), options.sample_per_cluster * options.clusters, rng);
  return Lloyd(rows, options, std::move(some), rng).run();
}

KMeans kmeans(const HalfRows& rows, const KMeansOptions& options) {
  KMeans result;
  result.centroids = kmeans_centroids(rows, options);
  result.sizes.resize(options.clusters);
  const std::vector<RowId> ids = all_rows(rows.count);
  for (const Hit& hit : nearest_centroids(rows, ids, result.centroids, options.spherical)) {
    result.cluster_of.push_back(hit.row);
    ++result.sizes[hit.row];
  }
  return result;
}

std::vector<KMeans> hierarchical_kmeans(const HalfRows& rows, const std::vector<int64_t>& clusters,
                                        const KMeansOptions& options) {
  std::vector<KMeans> levels;
  HalfMatrix centroids;
  for (const int64_t count : clusters) {
    KMeansOptions level = options;
    level.clusters = count;
    level.seed = options.seed + levels.size();
    levels.push_back(kmeans(levels.empty() ? rows : HalfRows(centroids), level));
    centroids = HalfMatrix(levels.back().centroids);
  }
  return levels;
}

}  // namespace ocelli
