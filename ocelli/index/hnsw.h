// Hierarchical navigable small worlds: a graph to walk from row to nearer row. Malkov and Yashunin,
// "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
// World graphs" (arXiv 1603.09320), by inner product on rows of length 1. Rows are added in batches
// that search the graph as it was before them (ParlayANN, arXiv 2305.04359), so the graph is the
// same for any number of threads.
#pragma once

#include <span>

#include "ocelli/index/nearest.h"

namespace ocelli {

struct HnswOptions {
  int64_t m = 32;                // links of a row on the upper levels; twice as many on the lowest
  int64_t ef_construction = 40;  // length of the list of candidates while building
  uint64_t seed = 0;
  Progress progress = {};
};

namespace detail {

// The links of all rows: those of the lowest level are [rows][2 m], those above [slots][m], a row's
// levels from slot `upper_first` on. A list that is not full ends with kNoRow. Numbers read from a
// file are not trusted: every one is held against `rows` or `slots`.
struct HnswGraph {
  static constexpr RowId kNoRow = UINT32_MAX;

  int64_t rows = 0, m = 0, slots = 0;
  int64_t top = 0;  // the highest level, whose walk begins at `entry`
  RowId entry = 0;
  const uint8_t* levels = nullptr;
  const uint32_t* upper_first = nullptr;
  const RowId *base = nullptr, *upper = nullptr;

  std::span<const RowId> links(RowId row, int64_t level) const;
  // The rows nearest to `query` that a walk from `from` on a level finds, at most ef, best first.
  std::vector<Hit> walk(const float* query, const HalfRows& values, std::span<const Hit> from,
                        int64_t ef, int64_t level) const;
  // Where to begin on `level`: the best rows of walks on the levels above it.
  std::vector<Hit> descend(const float* query, const HalfRows& values, int64_t level) const;
};

}  // namespace detail

class Hnsw : public NearestRows {
 public:
  static Hnsw build(const HalfRows& rows, const HnswOptions& options = {});
  // `graph`, of the first of these rows, with the others added. It must be intact(), and of the
  // seed in `options`; m is its own.
  static Hnsw extend(const Hnsw& graph, const HalfRows& rows, const HnswOptions& options = {});
  // Maps a saved graph; pages are read when a search touches them. Throws corrupt_data.
  static Hnsw open(const std::filesystem::path& file);
  void save(const std::filesystem::path& file) const;

  IndexKind kind() const override { return IndexKind::hnsw; }
  int64_t rows() const override { return graph_.rows; }
  bool intact() const override;  // of a graph that was opened
  // The effort is ef, the length of the list of candidates.
  std::vector<Hit> search(const float* query, const HalfRows& rows, int64_t k,
                          int64_t ef) const override;
  const detail::HnswGraph& graph() const { return graph_; }

 private:
  friend class HnswBuilder;
  detail::HnswGraph graph_;
  std::shared_ptr<const void> owner_;
  uint64_t crc_ = 0;
};

}  // namespace ocelli
