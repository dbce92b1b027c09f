// The vectors of FAISS index files. Fields as faiss/impl/index_write.cpp names them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ocelli {

// Vectors kept whole: flat ("IxFI", "IxF2" and "IxFl", by inner product or distance), or below a
// graph ("IHNf").
struct FaissRows {
  int64_t count = 0, width = 0;
  std::span<const std::byte> values;  // f32, not aligned; of the bytes that were parsed

  void copy(int64_t row, float* to) const;
};

// Throws corrupt_data naming `name`; unsupported for an index that does not keep vectors whole.
FaissRows parse_faiss(std::span<const std::byte> bytes, const std::string& name);

}  // namespace ocelli
