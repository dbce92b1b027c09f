#include "ocelli/index/faiss_file.h"

#include <gtest/gtest.h>

#include "ocelli/base/file.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

// The rows of tools/goldens/faiss_files.py.
HalfMatrix golden_rows() {
  const Tensor rows = Tensor::empty({3, 4});
  for (int64_t i = 0; i < 12; ++i) rows.data<float>()[i] = static_cast<float>(i - 5) / 8;
  return HalfMatrix(rows);
}

std::string golden(const char* name) {
  return read_file(std::filesystem::path(OCELLI_SOURCE_DIR) / "tests/goldens/faiss" / name);
}

TEST(FaissFile, IsByteForByteWhatFaissWrites) {
  const TempFolder folder;
  const HalfMatrix matrix = golden_rows();
  const HalfRows rows = matrix;
  write_faiss(folder / "flat", rows);
  EXPECT_EQ(read_file(folder / "flat"), golden("flat.faiss"));
  const HalfRows two = rows.slice(0, 2);
  const Hnsw graph = Hnsw::build(two);
  write_faiss(folder / "hnsw", two, &graph);
  EXPECT_TRUE(read_file(folder / "hnsw") == golden("hnsw.faiss"));
}

TEST(FaissFile, AGraphOfOtherRowsIsRefused) {
  const TempFolder folder;
  const HalfMatrix matrix = golden_rows();
  const Hnsw graph = Hnsw::build(HalfRows(matrix).slice(0, 2));
  EXPECT_THROW(write_faiss(folder / "hnsw", matrix, &graph), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "hnsw"));
}

}  // namespace
}  // namespace ocelli
