#include "ocelli/index/knn_graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/base/threads.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/kmeans.h"

namespace ocelli {
namespace {

constexpr int64_t kRows = 512, kQueries = 128;  // of a product, see exact_search.cpp
constexpr int64_t kMost = 4096;                 // queries that share a prepared block
constexpr int64_t kTogether = 32;               // cells between two reports of progress

// Rows in cells, and for each cell the cells to look in.
struct Cells {
  std::vector<std::vector<RowId>> members;
  std::vector<std::vector<RowId>> near;
};

Cells all_pairs(int64_t count) {
  Cells cells;
  for (int64_t begin = 0; begin < count; begin += kRows) {
    std::vector<RowId> ids(std::min(kRows, count - begin));
    std::iota(ids.begin(), ids.end(), static_cast<RowId>(begin));
    cells.members.push_back(std::move(ids));
  }
  std::vector<RowId> all(cells.members.size());
  std::iota(all.begin(), all.end(), RowId{0});
  cells.near.assign(cells.members.size(), all);
  return cells;
}

Cells by_kmeans(const HalfRows& rows, const KnnGraphOptions& options) {
  const auto count =
      static_cast<int64_t>(std::clamp(std::sqrt(static_cast<double>(rows.count)), 1.0, 65536.0));
  const KMeans means = kmeans(
      rows, {.clusters = count, .iterations = 8, .seed = options.seed, .sample_per_cluster = 64});
  Cells cells;
  cells.members.resize(count);
  for (int64_t i = 0; i < rows.count; ++i) {
    cells.members[means.cluster_of[i]].push_back(static_cast<RowId>(i));
  }
  const HalfMatrix centroids(means.centroids);
  for (const std::vector<Hit>& hits : search_exact(means.centroids, centroids, count)) {
    auto& near = cells.near.emplace_back();
    int64_t found = 0;
    for (size_t i = 0; i < hits.size() && found < options.candidates; ++i) {
      near.push_back(hits[i].row);
      found += means.sizes[hits[i].row];
    }
  }
  return cells;
}

class Builder {
 public:
  Builder(const HalfRows& rows, const Cells& cells, KnnGraph& graph)
      : rows_(rows), cells_(cells), graph_(graph) {}

  void cell(int64_t c) const {
    const std::span<const RowId> all = cells_.members[c];
    for (size_t begin = 0; begin < all.size(); begin += kMost) {
      queries(c, all.subspan(begin, std::min<size_t>(kMost, all.size() - begin)));
    }
  }

 private:
  void queries(int64_t c, std::span<const RowId> ids) const {
    const auto count = static_cast<int64_t>(ids.size());
    const Tensor x = Tensor::empty({count, rows_.width});
    detail::gather(rows_, ids, x.data<float>());
    std::vector<TopK> best(count, TopK(graph_.k + 1));  // and the row itself
    std::vector<float> scores(kQueries * kRows);
    for (const RowId near : cells_.near[c]) {
      const std::span<const RowId> members = cells_.members[near];
      for (size_t at = 0; at < members.size(); at += kRows) {
        throw_if_cancelled();
        const auto others = members.subspan(at, std::min<size_t>(kRows, members.size() - at));
        const detail::RowBlock block(rows_, others);
        for (int64_t q = 0; q < count; q += kQueries) {
          const int64_t n = std::min(kQueries, count - q);
          block.scores(x.data<float>() + q * rows_.width, n, scores.data());
          for (int64_t i = 0; i < n; ++i) {
            best[q + i].add(std::span(scores).subspan(i * others.size(), others.size()),
                            others.data());
          }
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) keep(ids[i], best[i].take());
  }

  // With many equal rows the row itself may have fallen out.
  void keep(RowId row, std::vector<Hit> hits) const {
    std::erase_if(hits, [&](const Hit& hit) { return hit.row == row; });
    hits.resize(graph_.k);
    std::ranges::copy(hits, graph_.neighbours.begin() + static_cast<int64_t>(row) * graph_.k);
  }

  const HalfRows& rows_;
  const Cells& cells_;
  KnnGraph& graph_;
};

}  // namespace

KnnGraph knn_graph(const HalfRows& rows, const KnnGraphOptions& options) {
  KnnGraph graph;
  graph.k = std::clamp<int64_t>(options.k, 0, std::max<int64_t>(rows.count - 1, 0));
  graph.neighbours.resize(rows.count * graph.k);
  if (graph.k == 0) return graph;
  const bool exact = rows.count <= std::max(options.exact_below, options.candidates);
  const Cells cells = exact ? all_pairs(rows.count) : by_kmeans(rows, options);
  const Builder builder(rows, cells, graph);
  const auto count = static_cast<int64_t>(cells.members.size());
  for (int64_t begin = 0; begin < count; begin += kTogether) {
    const int64_t end = std::min(count, begin + kTogether);
    parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = begin + first; c < begin + last; ++c) builder.cell(c);
    });
    if (options.progress) options.progress(end, count);
  }
  return graph;
}

}  // namespace ocelli
