#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/base/threads.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/hnsw.h"
#include "ocelli/index/ivfpq.h"
#include "ocelli/index/knn_graph.h"
#include "tests/index/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

double share(std::span<const Hit> found, std::span<const Hit> truth) {
  std::set<RowId> rows;
  for (const Hit& hit : truth) rows.insert(hit.row);
  double good = 0;
  for (const Hit& hit : found) good += rows.contains(hit.row);
  return good / static_cast<double>(truth.size());
}

TEST(KnnGraph, IsWhatExactSearchFinds) {
  const HalfMatrix matrix(clustered(1500, 32, 12));
  const HalfRows rows = matrix;
  const Tensor queries = Tensor::empty({1500, 32});  // the rows as they were rounded
  widen(rows.data, queries.numel(), queries.data<float>());
  const KnnGraph graph = knn_graph(matrix, {.k = 9});
  const auto truth = search_exact(queries, matrix, 10);
  for (int64_t i = 0; i < 1500; ++i) {
    for (const Hit& hit : graph.of(i)) EXPECT_NE(hit.row, static_cast<RowId>(i));
    EXPECT_GE(share(graph.of(i), truth[i]), 0.9) << i;
  }
}

TEST(KnnGraph, CellsFindNearlyAll) {
  const HalfMatrix rows(clustered(8000, 32, 80));
  const KnnGraph exact = knn_graph(rows, {.k = 10});
  const KnnGraph cells = knn_graph(rows, {.k = 10, .exact_below = 0});
  double found = 0;
  for (int64_t i = 0; i < 8000; ++i) found += share(cells.of(i), exact.of(i)) / 8000;
  EXPECT_GT(found, 0.97);
}

// More neighbours than the cells of a row have members.
TEST(KnnGraph, SmallCellsAreFilledUp) {
  const HalfMatrix rows(clustered(400, 16, 40));
  const KnnGraph exact = knn_graph(rows, {.k = 200});
  const KnnGraph cells = knn_graph(rows, {.k = 200, .exact_below = 0, .probes = 2});
  for (int64_t i = 0; i < 400; ++i) EXPECT_EQ(share(cells.of(i), exact.of(i)), 1) << i;
}

TEST(KnnGraph, FewRows) {
  EXPECT_EQ(knn_graph(HalfMatrix(clustered(3, 8, 3)), {.k = 64}).k, 2);
  EXPECT_EQ(knn_graph(HalfMatrix(clustered(1, 8, 1)), {.k = 64}).k, 0);
}

struct Fixture {
  HalfMatrix matrix{clustered(6000, 32, 60)};
  Tensor queries = clustered(100, 32, 60, 9);

  double recall(const NearestRows& graph) const {
    const auto truth = search_exact(queries, matrix, 10);
    double found = 0;
    for (int64_t q = 0; q < 100; ++q) {
      const auto hits = graph.search(queries.data<float>() + q * 32, matrix, 10, 64);
      EXPECT_TRUE(std::ranges::is_sorted(hits, better));
      found += share(hits, truth[q]) / 100;
    }
    return found;
  }
};

TEST(Hnsw, FindsNearlyAllAndIsTheSameForAnyNumberOfThreads) {
  const Fixture fixture;
  const TempFolder folder;
  set_num_threads(1);
  Hnsw::build(fixture.matrix).save(folder / "one");
  set_num_threads(4);
  const Hnsw graph = Hnsw::build(fixture.matrix);
  graph.save(folder / "four");
  EXPECT_EQ(read_file(folder / "one"), read_file(folder / "four"));
  EXPECT_GT(fixture.recall(graph), 0.97);
  const Hnsw opened = Hnsw::open(folder / "four");
  EXPECT_TRUE(opened.intact());
  EXPECT_EQ(fixture.recall(opened), fixture.recall(graph));
}

TEST(Hnsw, AnExtendedGraphFindsTheNewRows) {
  const Fixture fixture;
  const TempFolder folder;
  const HalfRows rows = fixture.matrix;
  Hnsw::build(rows.slice(0, 4000)).save(folder / "begun");
  const Hnsw graph = Hnsw::extend(Hnsw::open(folder / "begun"), rows);
  EXPECT_EQ(graph.rows(), 6000);
  EXPECT_GT(fixture.recall(graph), 0.97);
  EXPECT_THROW(Hnsw::extend(graph, rows, {.seed = 7}), Error);
  EXPECT_THROW(Hnsw::extend(graph, rows.slice(0, 5999)), Error);
}

// Where clusters lie far apart, walks on the upper levels have to find the right one. With few
// links that is hard in a small graph already: keeping one row on the way finds 0.86.
TEST(Hnsw, ManyClustersFarApart) {
  const HalfMatrix matrix(clustered(20000, 192, 200));
  const Tensor queries = clustered(200, 192, 200, 9);
  const Hnsw graph = Hnsw::build(matrix, {.m = 4});
  const auto truth = search_exact(queries, matrix, 10);
  double found = 0;
  for (int64_t q = 0; q < 200; ++q) {
    found += share(graph.search(queries.data<float>() + q * 192, matrix, 10, 32), truth[q]) / 200;
  }
  EXPECT_GT(found, 0.95);
}

TEST(Hnsw, SmallGraphs) {
  const Tensor values = clustered(2, 8, 2);
  const HalfMatrix two(values);
  EXPECT_EQ(Hnsw::build(two).search(values.data<float>(), two, 5, 10).size(), 2u);
  EXPECT_TRUE(Hnsw::build({nullptr, 0, 8}).search(values.data<float>(), two, 5, 10).empty());
}

TEST(IvfPq, FindsNearlyAllAndIsTheSameForAnyNumberOfThreads) {
  const Fixture fixture;
  const TempFolder folder;
  set_num_threads(1);
  IvfPq::build(fixture.matrix, folder / "one");
  set_num_threads(4);
  IvfPq::build(fixture.matrix, folder / "four");
  EXPECT_EQ(read_file(folder / "one"), read_file(folder / "four"));
  const auto codes = open_nearest(folder / "four");
  EXPECT_EQ(codes->kind(), IndexKind::ivfpq);
  EXPECT_TRUE(codes->intact());
  EXPECT_GT(fixture.recall(*codes), 0.95);
}

TEST(IvfPq, FewRowsAndOddWidths) {
  const TempFolder folder;
  for (const int64_t width : {1, 7, 8, 13}) {
    const Tensor values = clustered(40, width, 40);
    const HalfMatrix rows(values);
    IvfPq::build(rows, folder / "codes");
    const IvfPq codes = IvfPq::open(folder / "codes");
    const auto truth = search_exact(values, rows, 1);
    for (int64_t i = 0; i < 40; ++i) {
      const auto hits = codes.search(values.data<float>() + i * width, rows, 1, 256);
      ASSERT_EQ(hits.size(), 1u);
      EXPECT_NEAR(hits[0].score, truth[i][0].score, 1e-6);
    }
  }
  EXPECT_THROW(IvfPq::build({nullptr, 0, 8}, folder / "codes"), Error);
}

// Whatever stands in the file, a search neither crashes nor leaves the rows.
void expect_damage_is_found_and_harmless(const Fixture& fixture, const TempFolder& folder) {
  const std::string good = read_file(folder / "graph");
  Rng rng(1);
  for (int i = 0; i < 20; ++i) {
    std::string bad = good;
    for (int j = 0; j < 1000; ++j) {
      bad[64 + rng.next_u32() % (bad.size() - 64)] = static_cast<char>(rng.next_u32());
    }
    write_file(folder / "bad", bad);
    std::unique_ptr<NearestRows> opened;
    try {
      opened = open_nearest(folder / "bad");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_data);
      continue;
    }
    EXPECT_FALSE(opened->intact());
    for (const Hit& hit : opened->search(fixture.queries.data<float>(), fixture.matrix, 10, 64)) {
      EXPECT_LT(hit.row, 6000u);
    }
  }
  for (const size_t size : {size_t{0}, size_t{63}, size_t{64}, good.size() - 1}) {
    write_file(folder / "cut", good.substr(0, size));
    EXPECT_THROW(open_nearest(folder / "cut"), Error) << size;
  }
}

TEST(Hnsw, DamageIsFoundAndHarmless) {
  const Fixture fixture;
  const TempFolder folder;
  Hnsw::build(fixture.matrix).save(folder / "graph");
  expect_damage_is_found_and_harmless(fixture, folder);
}

TEST(IvfPq, DamageIsFoundAndHarmless) {
  const Fixture fixture;
  const TempFolder folder;
  IvfPq::build(fixture.matrix, folder / "graph");
  expect_damage_is_found_and_harmless(fixture, folder);
}

}  // namespace
}  // namespace ocelli
