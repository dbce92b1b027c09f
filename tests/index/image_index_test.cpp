// The folder of an index: commits, readers beside a writer, compaction, the graph, verification.
#include "ocelli/index/image_index.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/index/exact_search.h"
#include "tests/index/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWidth = 16;

const IndexState kState{.model = "a model", .fingerprint = "0123", .size = "", .width = kWidth};

ImageRecord record(int64_t i) {
  ImageRecord r;
  r.path = fmt::format("/photos/{}.jpg", i);
  r.name = fmt::format("{}.jpg", i);
  r.folder = i % 2 ? "odd" : "even";
  r.size = r.mtime = i + 1;
  r.width = 100 * i;
  r.sha256 = fmt::format("{:064x}", i);
  return r;
}

// Images first, first + 1, ...; the vector of image i is row i of clustered().
void add(IndexWriter& writer, int64_t first, int64_t count, const Tensor& vectors) {
  for (int64_t i = first; i < first + count; ++i) {
    writer.put(record(i), vectors.data<float>() + i * kWidth);
  }
  writer.commit();
}

std::vector<std::string> found(const ImageIndex& index, const Tensor& query,
                               const ImageIndex::Search& search) {
  std::vector<std::string> names;
  for (const Hit& hit : index.search(query, search)) {
    names.push_back(index.catalogue().find_row(hit.row).value().name);
  }
  return names;
}

TEST(ImageIndex, AReaderSeesWhatWasCommitted) {
  const TempFolder folder;
  const Tensor vectors = clustered(30, kWidth, 5);
  IndexWriter writer(folder / "i", kState);
  EXPECT_EQ(ImageIndex(folder / "i").vectors().count, 0);
  add(writer, 0, 10, vectors);
  const ImageIndex before(folder / "i"), another(folder / "i");
  writer.put(record(10), vectors.data<float>() + 10 * kWidth);
  EXPECT_EQ(ImageIndex(folder / "i").vectors().count, 10);
  writer.commit();
  add(writer, 11, 19, vectors);
  EXPECT_EQ(ImageIndex(folder / "i").vectors().count, 30);
  EXPECT_EQ(before.catalogue().count(), 10);
  EXPECT_EQ(found(before, vectors.select(0, 3), {.k = 100}).size(), 10u);
  EXPECT_EQ(found(another, vectors.select(0, 3), {.k = 1}), std::vector<std::string>{"3.jpg"});
}

TEST(ImageIndex, TheSecondWriterIsTold) {
  const TempFolder folder;
  auto writer = std::make_unique<IndexWriter>(folder / "i", kState);
  try {
    const IndexWriter second(folder / "i");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::io);
    EXPECT_NE(std::string(error.what()).find(fmt::format("process {} is writing", ::getpid())),
              std::string::npos);
  }
  writer.reset();
  const IndexWriter third(folder / "i");
}

TEST(ImageIndex, WhereComesBeforeTheSearch) {
  const TempFolder folder;
  const Tensor vectors = clustered(200, kWidth, 10);
  IndexWriter writer(folder / "i", kState);
  add(writer, 0, 200, vectors);
  const ImageIndex index(folder / "i");
  // Cluster 0 has the rows 0, 10, ...: none of them is odd.
  const auto odd = found(index, vectors.select(0, 0), {.k = 50, .where = "folder = 'odd'"});
  ASSERT_EQ(odd.size(), 50u);
  for (const std::string& name : odd) EXPECT_EQ(std::stoi(name) % 2, 1) << name;
  EXPECT_EQ(found(index, vectors.select(0, 0), {.k = 50, .where = "width < 300"}).size(), 3u);
  EXPECT_TRUE(found(index, vectors.select(0, 0), {.k = 50, .where = "0"}).empty());
}

TEST(ImageIndex, WhereIsOneExpressionThatReads) {
  const TempFolder folder;
  const Tensor vectors = clustered(4, kWidth, 2);
  IndexWriter writer(folder / "i", kState);
  add(writer, 0, 4, vectors);
  const ImageIndex index(folder / "i");
  for (const char* bad :
       {"",
        " ",
        "1; DROP TABLE images",
        "1) OR (1",
        "(1",
        "1 -- )",
        "1 /* )",
        "'open",
        "[open",
        "1 UNION SELECT 1",
        "1 LIMIT 1",
        "nothing > 1",
        "name = \"1.jpg\"",
        "load_extension('x')",
        "width IN (SELECT value FROM state)",
        "EXISTS (SELECT 1 FROM sqlite_master)",
        "id IN (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)",
        "length(zeroblob(1000000000)) > 0",
        "writefile('x', 'y')",
        "(DELETE FROM images)"}) {
    try {
      index.catalogue().rows_where(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << bad;
      EXPECT_TRUE(std::string(error.what()).starts_with("--where ")) << error.what();
    }
  }
  for (const char* good :
       {"1", "name LIKE '%.jpg'", "'(;--' <> path", "((width)) >= 0", "\"width\" >= 0",
        "width <= (SELECT max(width) FROM images)", "status = 'ok' AND model = 'a model'"}) {
    EXPECT_EQ(index.catalogue().rows_where(good).size(), 4u) << good;
  }
  EXPECT_EQ(index.catalogue().count(), 4);
}

TEST(ImageIndex, IdsStayAndAreNeverGivenAgain) {
  const TempFolder folder;
  const Tensor vectors = clustered(10, kWidth, 5);
  IndexWriter writer(folder / "i", kState);
  add(writer, 0, 3, vectors);
  ImageRecord changed = writer.catalogue().find_path("/photos/1.jpg").value();
  const int64_t id = changed.id;
  changed.width = 7;
  writer.put(changed, vectors.data<float>() + 9 * kWidth);
  writer.remove(writer.catalogue().find_path("/photos/2.jpg")->id);
  add(writer, 2, 1, vectors);
  writer.compact();
  const ImageIndex index(folder / "i");
  EXPECT_EQ(index.vectors().count, 3);
  EXPECT_EQ(index.catalogue().find_path("/photos/1.jpg")->id, id);
  EXPECT_EQ(index.catalogue().find_path("/photos/1.jpg")->width, 7);
  EXPECT_GT(index.catalogue().find_path("/photos/2.jpg")->id, id + 1);
  EXPECT_EQ(found(index, vectors.select(0, 9), {.k = 1}), std::vector<std::string>{"1.jpg"});
}

TEST(ImageIndex, CompactionChangesNoAnswer) {
  const TempFolder folder;
  const Tensor vectors = clustered(300, kWidth, 10);
  IndexWriter writer(folder / "i", kState);
  add(writer, 0, 300, vectors);
  for (int64_t id = 1; id <= 300; id += 3) writer.remove(id);
  writer.commit();
  const ImageIndex before(folder / "i");
  EXPECT_EQ(before.vectors().count, 300);
  const auto answer = found(before, vectors.select(0, 1), {.k = 200});
  EXPECT_EQ(answer.size(), 200u);
  writer.compact();
  EXPECT_EQ(found(before, vectors.select(0, 1), {.k = 200}), answer);
  const ImageIndex after(folder / "i");
  EXPECT_EQ(after.vectors().count, 200);
  EXPECT_EQ(found(after, vectors.select(0, 1), {.k = 200}), answer);
  EXPECT_TRUE(verify_index(folder / "i").empty());
}

// A writer that adds, removes and compacts without end is killed; what it had committed is whole.
TEST(ImageIndex, KilledAtAnyMoment) {
  const Tensor vectors = clustered(400, kWidth, 10);
  Rng rng(5);
  for (int round = 0; round < 25; ++round) {
    const TempFolder folder;
    const pid_t child = ::fork();
    if (child == 0) {
      IndexWriter writer(folder / "i", kState);
      for (int64_t i = 0; i < 400; i += 8) {
        add(writer, i, 8, vectors);
        writer.remove(i + 1);
        writer.commit();
        if (i % 32 == 24) writer.compact();
      }
      ::_exit(0);
    }
    ::usleep(rng.next_u32() % 150000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    IndexWriter writer(folder / "i", kState);
    EXPECT_TRUE(verify_index(folder / "i").empty());
    const ImageIndex index(folder / "i");
    index.catalogue().for_each([&](const ImageRecord& r) {
      ASSERT_TRUE(r.row);
      const float* own = vectors.data<float>() + std::stoll(r.name) * kWidth;
      ASSERT_GT(plain_dot(own, index.vectors().row(*r.row), kWidth), 0.999f) << r.name;
    });
  }
}

TEST(ImageIndex, KilledBeforeItsFirstFileItBeginsAnew) {
  const TempFolder folder;
  fs::create_directory(folder / "i");
  write_file(folder / "i/format.tmp-1-0", "ocelli in");
  { const IndexWriter writer(folder / "i", kState); }
  EXPECT_FALSE(fs::exists(folder / "i/format.tmp-1-0"));
  EXPECT_EQ(ImageIndex(folder / "i").catalogue().count(), 0);
  fs::create_directory(folder / "photos");
  write_file(folder / "photos/1.jpg", "");
  EXPECT_THROW(IndexWriter(folder / "photos", kState), Error);
}

TEST(ImageIndex, DamageIsNamed) {
  const TempFolder folder;
  const Tensor vectors = clustered(30, kWidth, 5);
  {
    IndexWriter writer(folder / "i", kState);
    for (int64_t i = 0; i < 30; i += 10) add(writer, i, 10, vectors);
  }
  EXPECT_TRUE(verify_index(folder / "i").empty());
  change_byte(folder / "i/vectors-1/vectors.f16", 4096 + 2 * kWidth * 15);
  std::vector<std::string> problems = verify_index(folder / "i");
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("vectors.f16: rows 10 to 19 are damaged (10 images, "
                             "/photos/10.jpg to /photos/19.jpg)"),
            std::string::npos);
  change_byte(folder / "i/vectors-1/vectors.f16", 4096 + 2 * kWidth * 15);
  // SQLite itself does not notice another letter in a column.
  const std::string bytes = read_file(folder / "i/catalogue.sqlite");
  change_byte(folder / "i/catalogue.sqlite", static_cast<int64_t>(bytes.find("12.jpgeven") + 6));
  problems = verify_index(folder / "i");
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("the record of image 13 (/photos/"), std::string::npos);
  write_file(folder / "i/catalogue.sqlite", bytes.substr(0, 8192));
  EXPECT_FALSE(verify_index(folder / "i").empty());
  write_file(folder / "i/catalogue.sqlite", std::string(8192, 'x'));
  EXPECT_FALSE(verify_index(folder / "i").empty());
  write_file(folder / "i/format", "ocelli index 2\n");
  EXPECT_THROW(ImageIndex(folder / "i"), Error);
}

TEST(ImageIndex, WhatIsNoIndexIsLeftAlone) {
  const TempFolder folder;
  write_file(folder / "file", "x");
  EXPECT_THROW(IndexWriter(folder.path(), kState), Error);
  EXPECT_THROW(IndexWriter(folder / "file", kState), Error);
  EXPECT_THROW(IndexWriter(folder / "absent"), Error);
  EXPECT_THROW(ImageIndex(folder / "absent"), Error);
  EXPECT_FALSE(find_state(folder / "absent"));
  EXPECT_FALSE(fs::exists(folder / "absent"));
}

// Beyond kHnswFrom rows: the graph, the rows after it and the removed ones make one answer.
TEST(ImageIndex, TheGraphAnswersAsExactSearchDoes) {
  const TempFolder folder;
  const int64_t count = kHnswFrom + 500;
  const Tensor vectors = clustered(count, kWidth, 500);
  IndexWriter writer(folder / "i", kState);
  add(writer, 0, kHnswFrom - 1, vectors);
  EXPECT_FALSE(writer.update_nearest({}));
  add(writer, kHnswFrom - 1, 1, vectors);
  EXPECT_TRUE(writer.update_nearest({}));
  add(writer, kHnswFrom, 500, vectors);
  EXPECT_FALSE(writer.update_nearest({}));
  for (int64_t id = 1; id <= 2000; ++id) writer.remove(id);
  writer.commit();
  const ImageIndex index(folder / "i");
  EXPECT_EQ(index.covered(), kHnswFrom);
  double good = 0;
  for (int64_t q = 0; q < 50; ++q) {
    const Tensor query = vectors.select(0, q * 1000);
    const auto truth = found(index, query, {.k = 20, .exact = true});
    const auto answer = found(index, query, {.k = 20});
    ASSERT_EQ(answer.size(), 20u);
    for (const std::string& name : answer) {
      EXPECT_GE(std::stoll(name), 2000);
      good += static_cast<double>(std::ranges::count(truth, name)) / (50 * 20);
    }
  }
  EXPECT_GT(good, 0.95);
  EXPECT_EQ(found(index, vectors.select(0, count - 1), {.k = 1})[0],
            fmt::format("{}.jpg", count - 1));
  change_byte(folder / "i/vectors-1/nearest", 100000);
  const auto problems = verify_index(folder / "i");
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("nearest: is damaged"), std::string::npos);
}

TEST(ImageIndex, AKindThatWasAskedForIsKept) {
  const TempFolder folder;
  const Tensor vectors = clustered(600, kWidth, 20);
  {
    IndexWriter writer(folder / "i", kState);
    add(writer, 0, 500, vectors);
    for (const IndexKind kind : {IndexKind::ivfpq, IndexKind::hnsw}) {
      writer.set_kind(kind);
      EXPECT_TRUE(writer.update_nearest({}));
      EXPECT_FALSE(writer.update_nearest({}));
      EXPECT_EQ(ImageIndex(folder / "i").kind(), kind);
    }
  }
  IndexWriter writer(folder / "i");
  add(writer, 500, 100, vectors);
  EXPECT_TRUE(writer.update_nearest({}));
  const ImageIndex index(folder / "i");
  EXPECT_EQ(index.kind(), IndexKind::hnsw);
  EXPECT_EQ(index.covered(), 600);
  EXPECT_EQ(found(index, vectors.select(0, 555), {.k = 1})[0], "555.jpg");
  writer.set_kind(IndexKind::automatic);
  EXPECT_FALSE(writer.update_nearest({}));
  EXPECT_EQ(ImageIndex(folder / "i").kind(), IndexKind::flat);
}

}  // namespace
}  // namespace ocelli
