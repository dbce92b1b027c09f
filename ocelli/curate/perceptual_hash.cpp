#include "ocelli/curate/perceptual_hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>

#include "ocelli/image/resize.h"

namespace ocelli {
namespace {

constexpr int kSide = 32, kKept = 8;

// The first coefficients of the DCT-II, without scaling.
using Basis = std::array<std::array<double, kSide>, kKept>;

Basis make_basis() {
  Basis basis;
  for (int u = 0; u < kKept; ++u) {
    for (int x = 0; x < kSide; ++x)
      basis[u][x] = std::cos(std::numbers::pi * (x + 0.5) * u / kSide);
  }
  return basis;
}

using Coefficients = std::array<double, kKept * kKept>;

uint64_t signs(const Coefficients& coefficients) {
  Coefficients sorted = coefficients;
  std::ranges::sort(sorted);
  const double median = (sorted[31] + sorted[32]) / 2;
  uint64_t hash = 0;
  for (size_t i = 0; i < coefficients.size(); ++i) {
    hash |= uint64_t{coefficients[i] > median} << i;
  }
  return hash;
}

// Mirroring turns the signs of odd frequencies, a diagonal swaps the directions.
Coefficients laid(const Coefficients& in, int way) {
  Coefficients out{};
  for (int v = 0; v < kKept; ++v) {
    for (int u = 0; u < kKept; ++u) {
      const int odd = ((way & 1) != 0 ? u : 0) + ((way & 2) != 0 ? v : 0);
      const int from = (way & 4) != 0 ? u * kKept + v : v * kKept + u;
      out[v * kKept + u] = odd % 2 == 0 ? in[from] : -in[from];
    }
  }
  return out;
}

}  // namespace

PerceptualHash perceptual_hash(const Image& image) {
  static const Basis basis = make_basis();
  const Image small = resize(image, kSide, kSide, Filter::lanczos);
  std::array<std::array<double, kKept>, kSide> rows{};
  const uint8_t* p = small.data();
  for (auto& row : rows) {
    for (int x = 0; x < kSide; ++x, p += 3) {
      const double grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
      for (int u = 0; u < kKept; ++u) row[u] += grey * basis[u][x];
    }
  }
  Coefficients coefficients{};
  for (int v = 0; v < kKept; ++v) {
    for (int u = 0; u < kKept; ++u) {
      for (int y = 0; y < kSide; ++y) coefficients[v * kKept + u] += rows[y][u] * basis[v][y];
    }
  }
  PerceptualHash hash;
  for (int way = 0; way < 8; ++way) hash[way] = signs(laid(coefficients, way));
  return hash;
}

int hash_distance(const PerceptualHash& a, const PerceptualHash& b) {
  int least = 64;
  for (const uint64_t way : b) {
    const uint64_t differ = a[0] ^ way;
    // A negative has the other sign everywhere but in the mean, which comes first.
    least = std::min({least, std::popcount(differ), std::popcount(~differ & ~uint64_t{1})});
  }
  return least;
}

}  // namespace ocelli
