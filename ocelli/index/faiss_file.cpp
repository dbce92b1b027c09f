#include "ocelli/index/faiss_file.h"

#include <cmath>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/index/dot.h"

namespace ocelli {
namespace {

constexpr int32_t kInnerProduct = 0;

class Writer {
 public:
  explicit Writer(const std::filesystem::path& path) : file_(path) {}

  void code(std::string_view fourcc) { file_.write(fourcc); }
  template <typename T>
  void number(T value) {
    file_.write(std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  template <typename T>
  void values(const std::vector<T>& values) {
    file_.write(std::as_bytes(std::span(values)));
  }
  template <typename T>
  void vector(const std::vector<T>& vector) {
    number<uint64_t>(vector.size());
    values(vector);
  }

  void header(const HalfRows& rows) {
    number(static_cast<int32_t>(rows.width));
    number(rows.count);
    number<int64_t>(1 << 20);  // two fields that are not used any more
    number<int64_t>(1 << 20);
    number<uint8_t>(1);  // trained
    number(kInnerProduct);
  }
  void flat(const HalfRows& rows);
  void graph(const detail::HnswGraph& graph);
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
};

void Writer::flat(const HalfRows& rows) {
  code("IxFI");
  header(rows);
  number<uint64_t>(rows.count * rows.width);
  std::vector<float> wide(rows.width);
  for (int64_t i = 0; i < rows.count; ++i) {
    throw_if_cancelled();
    widen(rows.row(i), rows.width, wide.data());
    values(wide);
  }
}

// The chance of each level, in FAISS's single precision, and for each level the places of a row's
// list before it.
std::pair<std::vector<double>, std::vector<int32_t>> level_tables(int64_t m) {
  const auto scale = static_cast<float>(1 / std::log(static_cast<double>(m)));
  std::vector<double> chances;
  std::vector<int32_t> places = {0};
  for (int level = 0;; ++level) {
    const double below = std::exp(static_cast<double>(static_cast<float>(-level) / scale));
    const auto chance = static_cast<float>(below * (1 - std::exp(static_cast<double>(-1 / scale))));
    if (chance < 1e-9) return {chances, places};
    chances.push_back(chance);
    places.push_back(places.back() + static_cast<int32_t>(level == 0 ? 2 * m : m));
  }
}

void Writer::graph(const detail::HnswGraph& graph) {
  auto [chances, places] = level_tables(graph.m);
  while (static_cast<int64_t>(places.size()) < graph.top + 2) {
    places.push_back(places.back() + static_cast<int32_t>(graph.m));
  }
  std::vector<int32_t> levels(graph.rows);  // counted from 1
  std::vector<uint64_t> offsets(graph.rows + 1);
  for (int64_t i = 0; i < graph.rows; ++i) {
    levels[i] = graph.levels[i] + 1;
    offsets[i + 1] = offsets[i] + static_cast<uint64_t>(places[levels[i]]);
  }
  vector(chances);
  vector(places);
  vector(levels);
  vector(offsets);
  number<uint64_t>(offsets.back());
  for (int64_t i = 0; i < graph.rows; ++i) {
    for (int64_t level = 0; level < levels[i]; ++level) {
      const std::span<const RowId> links = graph.links(static_cast<RowId>(i), level);
      values(std::vector<int32_t>(links.begin(), links.end()));  // kNoRow is -1
    }
  }
  number(static_cast<int32_t>(graph.entry));
  number(static_cast<int32_t>(graph.top));
  number<int32_t>(40);  // efConstruction
  number<int32_t>(16);  // efSearch
  number<int32_t>(1);   // a field that is not used any more
}

}  // namespace

void write_faiss(const std::filesystem::path& file, const HalfRows& rows, const Hnsw* graph) {
  check(!graph || graph->rows() == rows.count, "faiss: a graph of {} rows for {}",
        graph ? graph->rows() : 0, rows.count);
  check(rows.count <= INT32_MAX || !graph, "faiss: a graph of {} rows is too large", rows.count);
  Writer writer(file);
  if (graph) {
    writer.code("IHNf");
    writer.header(rows);
    writer.graph(graph->graph());
  }
  writer.flat(rows);
  writer.commit();
}

}  // namespace ocelli
