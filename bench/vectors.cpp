// The vector primitives on clustered rows with planted duplicates, at 10^4, 10^5, 10^6:
// build/bench/vectors [ROWS ...]   (OMP_NUM_THREADS, OCELLI_MAX_ISA)
// --write FOLDER ROWS leaves rows.npy and queries.npy for other programs (bench/versus_faiss.py).
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "ocelli/backend/backend.h"
#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/rng.h"
#include "ocelli/base/threads.h"
#include "ocelli/formats/npy.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/hnsw.h"
#include "ocelli/index/ivfpq.h"
#include "ocelli/index/kmeans.h"
#include "ocelli/index/knn_graph.h"
#include "ocelli/index/vector_store.h"

namespace ocelli {
namespace {

constexpr int64_t kWidth = 384, kQueries = 1000;
constexpr double kNoise = 0.8;  // of a row beside the length 1 of its cluster's centre

struct Data {
  std::filesystem::path folder;
  Tensor queries;
  std::vector<std::pair<RowId, RowId>> duplicates;
};

void normal(uint64_t seed, uint64_t stream, double scale, float* row) {
  Rng rng(seed, stream);
  for (int64_t i = 0; i < kWidth; ++i) {
    row[i] += static_cast<float>(scale / std::sqrt(kWidth) * rng.normal());
  }
}

void unit(float* row) {
  double sum = 0;
  for (int64_t i = 0; i < kWidth; ++i) sum += static_cast<double>(row[i]) * row[i];
  for (int64_t i = 0; i < kWidth; ++i) row[i] /= static_cast<float>(std::sqrt(sum));
}

// Row i of the set: a centre and noise, or, each fiftieth, its forerunner slightly changed.
void make_row(int64_t i, int64_t clusters, float* row) {
  std::fill_n(row, kWidth, 0.0f);
  if (i % 50 == 49) {
    make_row(i - 25, clusters, row);
    normal(3, static_cast<uint64_t>(i), 0.15, row);
  } else {
    normal(1, Rng(4, static_cast<uint64_t>(i)).next_u32() % static_cast<uint64_t>(clusters), 1,
           row);
    normal(2, static_cast<uint64_t>(i), kNoise, row);
  }
  unit(row);
}

Data make(int64_t count, const std::filesystem::path& folder) {
  const int64_t clusters = std::max<int64_t>(10, count / 100);
  Data data{folder, Tensor::empty({kQueries, kWidth}), {}};
  std::filesystem::remove_all(folder);
  VectorWriter writer(folder, kWidth);
  constexpr int64_t kBlock = 10000;
  std::vector<float> block(kBlock * kWidth);
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    parallel_for(n, 64, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) make_row(begin + i, clusters, &block[i * kWidth]);
    });
    for (int64_t i = 0; i < n; ++i) writer.append(&block[i * kWidth]);
    writer.commit();
  }
  for (int64_t i = 49; i < count; i += 50) {
    data.duplicates.emplace_back(static_cast<RowId>(i - 25), static_cast<RowId>(i));
  }
  for (int64_t i = 0; i < kQueries; ++i) {  // never rows themselves: beyond the last
    make_row(count + 50 * i, clusters, data.queries.data<float>() + i * kWidth);
  }
  return data;
}

class Watch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void line(const std::string& what, double seconds, const std::string& more = {}) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("  {:<34}{:>9.3f} s   peak {:>5} MB   {}\n", what, seconds, usage.ru_maxrss / 1024,
             more);
  std::fflush(stdout);
}

double resident_mb() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return static_cast<double>(resident) * 4096 / 1e6;
}

double recall(const std::vector<std::vector<Hit>>& found,
              const std::vector<std::vector<Hit>>& truth) {
  int64_t good = 0, all = 0;
  for (size_t q = 0; q < truth.size(); ++q) {
    std::set<RowId> rows;
    for (const Hit& hit : truth[q]) rows.insert(hit.row);
    for (const Hit& hit : found[q]) good += static_cast<int64_t>(rows.count(hit.row));
    all += static_cast<int64_t>(truth[q].size());
  }
  return static_cast<double>(good) / static_cast<double>(all);
}

void search(const Data& data, const HalfRows& rows, const NearestRows& graph,
            const NearestRows& codes) {
  Watch exact;
  const auto truth = search_exact(data.queries, rows, 10);
  line("exact search of 1000 queries", exact.seconds());
  Watch one;
  search_exact(data.queries.slice(0, 0, 1), rows, 10);
  line("exact search of one query", one.seconds());
  const int threads = num_threads();
  set_num_threads(1);
  for (const NearestRows* nearest : {&graph, &codes}) {
    for (const int64_t effort : {16, 24, 32, 48, 64, 128, 256, 512}) {
      Watch watch;
      std::vector<std::vector<Hit>> found;
      for (int64_t q = 0; q < kQueries; ++q) {
        found.push_back(nearest->search(data.queries.data<float>() + q * kWidth, rows, 10, effort));
      }
      const double seconds = watch.seconds();
      line(fmt::format("{} search, effort {}", kind_name(nearest->kind()), effort), seconds,
           fmt::format("{:.3f} ms a query, one thread; recall@10 {:.3f}", seconds * 1e3 / kQueries,
                       recall(found, truth)));
    }
  }
  set_num_threads(threads);
}

void neighbours(const Data& data, const HalfRows& rows) {
  Watch watch;
  const KnnGraph near = knn_graph(rows);
  line("graph of 64 neighbours", watch.seconds());
  Watch threshold;
  int64_t pairs = 0, found = 0;
  for (int64_t i = 0; i < rows.count; ++i) {
    for (const Hit& hit : near.of(i)) pairs += hit.score >= 0.9f && hit.row > i;
  }
  for (const auto& [a, b] : data.duplicates) {
    found += std::ranges::any_of(near.of(a),
                                 [b = b](const Hit& h) { return h.row == b && h.score >= 0.9f; });
  }
  line("pairs of cosine 0.9 and above", threshold.seconds(),
       fmt::format("{} pairs; recall of planted duplicates {:.4f}", pairs,
                   static_cast<double>(found) / static_cast<double>(data.duplicates.size())));
}

void measure(int64_t count) {
  backend::cpu();  // reads OCELLI_MAX_ISA
  fmt::print("{} rows of {}, {}, {} threads\n", count, kWidth, backend::current_isa(),
             num_threads());
  Watch making;
  const Data data = make(count, std::filesystem::temp_directory_path() / "ocelli-bench-vectors");
  line("making and storing the rows", making.seconds());
  Watch all;
  const std::filesystem::path file = data.folder / "hnsw", codes_file = data.folder / "ivfpq";
  {
    const VectorStore store(data.folder);
    Watch watch;
    const Hnsw graph = Hnsw::build(store.rows());
    line("HNSW32", watch.seconds());
    graph.save(file);
  }
  {
    Watch watch;
    IvfPq::build(VectorStore(data.folder).rows(), codes_file);
    line("IVF-PQ", watch.seconds(),
         fmt::format("{} MB", std::filesystem::file_size(codes_file) / 1000000));
  }
  const double before = resident_mb();
  Watch opening;
  const VectorStore store(data.folder);
  const Hnsw graph = Hnsw::open(file);
  line("opening", opening.seconds(), fmt::format("{:.1f} MB", resident_mb() - before));
  neighbours(data, store.rows());
  Watch means;
  kmeans(store.rows(), {.clusters = std::min<int64_t>(1000, count / 10)});
  line(fmt::format("k-means, {} clusters", std::min<int64_t>(1000, count / 10)), means.seconds());
  search(data, store.rows(), graph, IvfPq::open(codes_file));
  line("all but the making", all.seconds());
}

void write(const std::filesystem::path& folder, int64_t count) {
  const Data data = make(count, folder / "store");
  const VectorStore store(folder / "store");
  NpyWriter writer(folder / "rows.npy", {kWidth}, DType::f16);
  for (int64_t i = 0; i < count; ++i) {
    writer.append(Tensor::from<Half>({store.rows().row(i), static_cast<size_t>(kWidth)}, {kWidth}));
  }
  writer.commit();
  write_npy(folder / "queries.npy", data.queries);
}

}  // namespace
}  // namespace ocelli

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "--write") {
    ocelli::write(arguments[1], std::atoll(arguments[2].c_str()));
  } else if (arguments.empty()) {
    for (const int64_t count : {10000, 100000, 1000000}) ocelli::measure(count);
  } else {
    for (const std::string& text : arguments) ocelli::measure(std::atoll(text.c_str()));
  }
  return 0;
}
