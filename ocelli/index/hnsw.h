// Hierarchical navigable small worlds: a graph to walk from row to nearer row. Malkov and Yashunin,
// "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
// World graphs" (arXiv 1603.09320), by inner product on rows of length 1. Rows are added in batches
// that search the graph as it was before them (ParlayANN, arXiv 2305.04359), so the graph is the
// same for any number of threads.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/index/rows.h"

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

// The graph of the first rows() rows of a store. Const to search, from many threads at once.
class Hnsw {
 public:
  static Hnsw build(const HalfRows& rows, const HnswOptions& options = {});
  // Maps a saved graph; pages are read when a search touches them. Throws corrupt_data.
  static Hnsw open(const std::filesystem::path& file);
  void save(const std::filesystem::path& file) const;
  // False when a byte of the saved graph is not what was written. Reads everything.
  bool intact() const;

  int64_t rows() const { return graph_.rows; }
  // The k best rows for `query` [width], best first; a larger ef finds more of the true ones.
  std::vector<Hit> search(const float* query, const HalfRows& rows, int64_t k, int64_t ef) const;

 private:
  friend class HnswBuilder;
  detail::HnswGraph graph_;
  std::shared_ptr<const void> owner_;
  uint64_t crc_ = 0;
};

}  // namespace ocelli
