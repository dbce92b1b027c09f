#include "ocelli/index/nearest.h"

#include <array>

#include "ocelli/base/error.h"
#include "ocelli/index/hnsw.h"
#include "ocelli/index/ivfpq.h"

namespace ocelli {
namespace {

constexpr std::array<const char*, 4> kNames = {"auto", "flat", "hnsw", "ivfpq"};

// The graph in a file; one without rows where there is none that can be extended to `rows`.
Hnsw begun_graph(const std::filesystem::path& file, int64_t rows) {
  try {
    Hnsw graph = Hnsw::open(file);
    if (graph.rows() <= rows && graph.intact()) return graph;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_found && error.code() != ErrorCode::corrupt_data) throw;
  }
  return {};
}

}  // namespace

IndexKind index_kind(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<IndexKind>(i);
  }
  fail(ErrorCode::invalid_argument, "{}: no kind of index; there are auto, flat, hnsw and ivfpq",
       name);
}

std::string kind_name(IndexKind kind) {
  return kNames[static_cast<size_t>(kind)];
}

IndexKind kind_for(IndexKind asked, int64_t rows) {
  if (asked != IndexKind::automatic) return asked;
  if (rows < kHnswFrom) return IndexKind::flat;
  return rows < kIvfPqFrom ? IndexKind::hnsw : IndexKind::ivfpq;
}

std::unique_ptr<NearestRows> open_nearest(const std::filesystem::path& file) {
  if (IvfPq::is_in(file)) return std::make_unique<IvfPq>(IvfPq::open(file));
  return std::make_unique<Hnsw>(Hnsw::open(file));
}

void build_nearest(IndexKind kind, const HalfRows& rows, const std::filesystem::path& file,
                   const Progress& progress) {
  if (kind == IndexKind::ivfpq) return IvfPq::build(rows, file, {.progress = progress});
  Hnsw::extend(begun_graph(file, rows.count), rows, {.progress = progress}).save(file);
}

}  // namespace ocelli
