#include "ocelli/index/faiss_file.h"

#include <gtest/gtest.h>

#include "ocelli/base/file.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/faiss_rows.h"
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

TEST(FaissFile, RowsThatFaissWroteAreRead) {
  const HalfMatrix matrix = golden_rows();
  const HalfRows rows = matrix;
  for (const auto& [name, count] : {std::pair("flat.faiss", 3), std::pair("hnsw.faiss", 2)}) {
    const std::string file = golden(name);
    const FaissRows read = parse_faiss(std::as_bytes(std::span(file)), name);
    ASSERT_EQ(read.count, count);
    ASSERT_EQ(read.width, 4);
    for (int64_t i = 0; i < read.count; ++i) {
      std::array<float, 4> row, truth;
      read.copy(i, row.data());
      widen(rows.row(i), 4, truth.data());
      EXPECT_EQ(row, truth);
    }
    for (size_t size = 0; size < file.size(); ++size) {
      EXPECT_THROW(parse_faiss(std::as_bytes(std::span(file).first(size)), name), Error);
    }
  }
}

TEST(FaissFile, WhatHoldsNoRowsIsNamed) {
  std::string file = golden("flat.faiss");
  const auto message = [&] {
    try {
      parse_faiss(std::as_bytes(std::span(file)), "x.faiss");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  file[8] = 4;  // vectors
  EXPECT_NE(message().find("x.faiss: the FAISS index has 12 numbers for 4 vectors of 4"),
            std::string::npos);
  file[7] = -1;  // width
  EXPECT_NE(message().find("vectors of -"), std::string::npos);
  file.replace(0, 4, "IwPQ");
  EXPECT_NE(message().find("its code is IwPQ"), std::string::npos);
  file.replace(0, 4, "\1\2\3\4");
  EXPECT_NE(message().find("it is no index of FAISS"), std::string::npos);
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
