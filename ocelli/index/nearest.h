// Structures that find near rows without looking at all of them, and which of them an index has.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/index/rows.h"

namespace ocelli {

enum class IndexKind {
  automatic,  // by the number of rows: flat, from kHnswFrom on hnsw, from kIvfPqFrom on ivfpq
  flat,       // no structure: every row is looked at
  hnsw,       // a graph (hnsw.h), 256 bytes a row
  ivfpq       // cells of short codes (ivfpq.h), an eighth of a byte a number and 4 bytes a row
};

// Looking at fewer rows takes some milliseconds.
constexpr int64_t kHnswFrom = 50'000;
// The graph of more rows takes gigabytes of memory, and hours to build.
constexpr int64_t kIvfPqFrom = 10'000'000;

// "auto", "flat", "hnsw", "ivfpq". Throws invalid_argument for another name.
IndexKind index_kind(const std::string& name);
std::string kind_name(IndexKind kind);
// What `asked` means for so many rows: never automatic.
IndexKind kind_for(IndexKind asked, int64_t rows);

// Over the first rows() rows of a store. Const to search, from many threads at once.
class NearestRows {
 public:
  virtual ~NearestRows() = default;
  virtual IndexKind kind() const = 0;
  virtual int64_t rows() const = 0;
  // False when a byte of the file is not what was written. Reads everything.
  virtual bool intact() const = 0;
  // The k best rows for `query` [width], best first, by their exact scores. A larger effort, the
  // number of rows that are candidates, finds more of the true ones.
  virtual std::vector<Hit> search(const float* query, const HalfRows& rows, int64_t k,
                                  int64_t effort) const = 0;
};

// Maps what build_nearest() wrote; pages are read when a search touches them. Throws corrupt_data.
std::unique_ptr<NearestRows> open_nearest(const std::filesystem::path& file);

// Writes the structure of `rows` (hnsw or ivfpq). A graph of the first of them that is in the file
// already, undamaged, is extended.
void build_nearest(IndexKind kind, const HalfRows& rows, const std::filesystem::path& file,
                   const Progress& progress = {});

}  // namespace ocelli
