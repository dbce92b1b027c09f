// An inverted file of product codes: rows lie in cells by k-means, and each is kept as a byte for
// every eight numbers of its difference from the cell's centre. Jegou, Douze and Schmid, "Product
// Quantization for Nearest Neighbor Search" (PAMI 2011), by inner product:
// <q, x> = <q, centre> + sum over parts m of <q_m, word_m(code_m)>. The best rows by the codes are
// scored again by their half-precision values, so scores are exact.
#pragma once

#include <span>

#include "ocelli/index/nearest.h"

namespace ocelli {

struct IvfPqOptions {
  uint64_t seed = 0;
  Progress progress = {};
};

class IvfPq : public NearestRows {
 public:
  // 2 sqrt(rows) cells, at most 65536. Writes the structure as it is made: memory is bounded by 12
  // bytes a row.
  static void build(const HalfRows& rows, const std::filesystem::path& file,
                    const IvfPqOptions& options = {});
  static IvfPq open(const std::filesystem::path& file);
  // Whether a file begins as one of these does.
  static bool is_in(const std::filesystem::path& file);

  IndexKind kind() const override { return IndexKind::ivfpq; }
  int64_t rows() const override { return rows_; }
  bool intact() const override;
  // Looks into effort / 16 cells, at least 8, and scores max(k, effort) rows again.
  std::vector<Hit> search(const float* query, const HalfRows& rows, int64_t k,
                          int64_t effort) const override;

 private:
  std::vector<Hit> candidates(const float* query, int64_t probes, int64_t count) const;
  std::vector<float> table(const float* query) const;

  int64_t rows_ = 0, parts_ = 0;
  HalfRows centres_;
  const float* words_ = nullptr;      // [parts][kPart][256]
  const uint64_t* begins_ = nullptr;  // of the cells, and the end
  const RowId* ids_ = nullptr;        // cell by cell
  const uint8_t* codes_ = nullptr;    // [rows][parts], in the order of ids_
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> body_;
  uint64_t crc_ = 0;
};

}  // namespace ocelli
