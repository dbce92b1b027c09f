// Rows for the tests of index/.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>

#include "ocelli/base/rng.h"
#include "ocelli/index/rows.h"

namespace ocelli {

// [count, width], of length 1, in `clusters` clusters: row i in cluster i % clusters.
inline Tensor clustered(int64_t count, int64_t width, int64_t clusters, uint64_t seed = 1,
                        float noise = 0.5f) {
  const Tensor rows = Tensor::empty({count, width});
  for (int64_t i = 0; i < count; ++i) {
    Rng centre(99, static_cast<uint64_t>(i % clusters)), own(seed, static_cast<uint64_t>(i));
    float* row = rows.data<float>() + i * width;
    float sum = 0;
    for (int64_t d = 0; d < width; ++d) {
      row[d] = centre.normal() + noise * own.normal();
      sum += row[d] * row[d];
    }
    for (int64_t d = 0; d < width; ++d) row[d] /= std::sqrt(sum);
  }
  return rows;
}

inline float plain_dot(const float* query, const Half* row, int64_t width) {
  double sum = 0;
  for (int64_t d = 0; d < width; ++d) sum += static_cast<double>(query[d]) * to_float(row[d]);
  return static_cast<float>(sum);
}

// Turns the lowest bit of one byte of a file.
inline void change_byte(const std::filesystem::path& file, int64_t at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(at);
  const char byte = static_cast<char>(stream.get() ^ 1);
  stream.seekp(at);
  stream.put(byte);
}

}  // namespace ocelli
