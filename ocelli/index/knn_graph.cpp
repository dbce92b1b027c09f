#include "ocelli/index/knn_graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/base/threads.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/kmeans.h"

namespace ocelli {
namespace {

constexpr int64_t kMemberRows = 512, kAskingRows = 128;  // of a product, see exact_search.cpp
constexpr int64_t kChunk = 32768;  // rows whose neighbours a thread looks for together

// Rows in cells, and for each row the cells to look in.
struct Cells {
  std::vector<std::vector<RowId>> members;
  std::vector<RowId> probes;  // [rows, count]; none when all cells are looked in
  int64_t count = 0;
};

Cells all_pairs(int64_t count) {
  Cells cells;
  for (int64_t begin = 0; begin < count; begin += kMemberRows) {
    std::vector<RowId> ids(std::min(kMemberRows, count - begin));
    std::iota(ids.begin(), ids.end(), static_cast<RowId>(begin));
    cells.members.push_back(std::move(ids));
  }
  return cells;
}

Cells by_kmeans(const HalfRows& rows, const KnnGraphOptions& options) {
  const auto count = static_cast<int64_t>(
      std::clamp(2 * std::sqrt(static_cast<double>(rows.count)), 1.0, 65536.0));
  const Tensor centroids = kmeans_centroids(rows, {.clusters = std::min(count, rows.count),
                                                   .iterations = 8,
                                                   .seed = options.seed,
                                                   .sample_per_cluster = 64});
  Cells cells;
  cells.count = std::clamp<int64_t>(options.probes, 1, centroids.size(0));
  cells.probes = nearest_cells(rows, centroids, cells.count);
  cells.members.resize(centroids.size(0));
  for (int64_t i = 0; i < rows.count; ++i) {
    cells.members[cells.probes[i * cells.count]].push_back(static_cast<RowId>(i));
  }
  return cells;
}

// The neighbours of some rows. A cell is prepared once for all of them that look into it.
class Chunk {
 public:
  Chunk(const HalfRows& rows, const Cells& cells, std::span<const RowId> ids, KnnGraph& graph)
      : rows_(rows),
        cells_(cells),
        ids_(ids),
        graph_(graph),
        best_(ids.size(), TopK(graph.k + 1)),  // and the row itself
        queries_(kAskingRows * rows.width),
        scores_(kAskingRows * kMemberRows) {}

  void run() {
    const std::vector<std::vector<uint32_t>> asking = who_asks();
    for (size_t c = 0; c < asking.size(); ++c) {
      const std::span<const RowId> members = cells_.members[c];
      for (size_t at = 0; at < members.size() && !asking[c].empty(); at += kMemberRows) {
        throw_if_cancelled();
        look(asking[c], members.subspan(at, std::min<size_t>(kMemberRows, members.size() - at)));
      }
    }
    for (size_t i = 0; i < ids_.size(); ++i) keep(ids_[i], best_[i].take());
  }

 private:
  // For each cell the places in ids_ of the rows that look into it.
  std::vector<std::vector<uint32_t>> who_asks() const {
    std::vector<std::vector<uint32_t>> asking(cells_.members.size());
    for (uint32_t i = 0; i < ids_.size(); ++i) {
      if (cells_.count == 0) {
        for (auto& places : asking) places.push_back(i);
      }
      for (int64_t p = 0; p < cells_.count; ++p) {
        asking[cells_.probes[ids_[i] * cells_.count + p]].push_back(i);
      }
    }
    return asking;
  }

  void look(std::span<const uint32_t> places, std::span<const RowId> others) {
    const detail::RowBlock block(rows_, others);
    std::vector<RowId> asking;
    for (size_t begin = 0; begin < places.size(); begin += kAskingRows) {
      const auto some = places.subspan(begin, std::min<size_t>(kAskingRows, places.size() - begin));
      asking.clear();
      for (const uint32_t place : some) asking.push_back(ids_[place]);
      detail::gather(rows_, asking, queries_.data());
      block.scores(queries_.data(), static_cast<int64_t>(some.size()), scores_.data());
      for (size_t i = 0; i < some.size(); ++i) {
        best_[some[i]].add(std::span(scores_).subspan(i * others.size(), others.size()),
                           others.data());
      }
    }
  }

  // With many equal rows the row itself may have fallen out; its cells may be nearly empty.
  void keep(RowId row, std::vector<Hit> hits) {
    if (static_cast<int64_t>(hits.size()) <= graph_.k) hits = among_all(row);
    std::erase_if(hits, [&](const Hit& hit) { return hit.row == row; });
    hits.resize(graph_.k);
    std::ranges::copy(hits, graph_.neighbours.begin() + static_cast<int64_t>(row) * graph_.k);
  }

  std::vector<Hit> among_all(RowId row) const {
    const Tensor query = Tensor::empty({1, rows_.width});
    detail::gather(rows_, {&row, 1}, query.data<float>());
    return search_exact(query, rows_, graph_.k + 1)[0];
  }

  const HalfRows& rows_;
  const Cells& cells_;
  const std::span<const RowId> ids_;
  KnnGraph& graph_;
  std::vector<TopK> best_;
  std::vector<float> queries_, scores_;
};

}  // namespace

KnnGraph knn_graph(const HalfRows& rows, const KnnGraphOptions& options) {
  KnnGraph graph;
  graph.k = std::clamp<int64_t>(options.k, 0, std::max<int64_t>(rows.count - 1, 0));
  graph.neighbours.resize(rows.count * graph.k);
  if (graph.k == 0) return graph;
  const Cells cells =
      rows.count <= options.exact_below ? all_pairs(rows.count) : by_kmeans(rows, options);
  std::vector<RowId> order;  // rows that look into the same cells come together
  for (const auto& members : cells.members)
    order.insert(order.end(), members.begin(), members.end());
  const int64_t chunk = std::clamp<int64_t>(rows.count / (4 * num_threads()), 512, kChunk);
  const int64_t together = chunk * num_threads();
  for (int64_t begin = 0; begin < rows.count; begin += together) {
    const int64_t end = std::min(begin + together, rows.count);
    parallel_for((end - begin + chunk - 1) / chunk, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c) {
        const int64_t at = begin + c * chunk;
        Chunk(rows, cells, std::span(order).subspan(at, std::min(chunk, end - at)), graph).run();
      }
    });
    if (options.progress) options.progress(end, rows.count);
  }
  return graph;
}

}  // namespace ocelli
