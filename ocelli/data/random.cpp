#include "ocelli/data/random.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ocelli {
namespace {

// Steele et al., "Fast splittable pseudorandom number generators": its finaliser.
uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

}  // namespace

Rng keyed_rng(std::initializer_list<uint64_t> keys) {
  uint64_t seed = 0, stream = 1;
  for (const uint64_t key : keys) {
    seed = mixed(seed ^ key);
    stream = mixed(stream + seed);
  }
  return Rng(seed, stream);
}

double uniform(Rng& rng, double low, double high) {
  return low + (high - low) * static_cast<double>(rng.uniform());
}

int64_t random_index(Rng& rng, int64_t size) {
  const uint64_t high = rng.next_u32(), number = high << 32 | rng.next_u32();
  return static_cast<int64_t>(number % static_cast<uint64_t>(size));
}

bool chance(Rng& rng, double probability) {
  return static_cast<double>(rng.uniform()) < probability;
}

// Marsaglia & Tsang, "A simple method for generating gamma variables"; below 1 by
// gamma(a) = gamma(a + 1) u^(1/a).
double gamma(Rng& rng, double shape) {
  if (shape < 1) {
    const double u = 1.0 - static_cast<double>(rng.uniform());
    return gamma(rng, shape + 1) * std::pow(u, 1.0 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = rng.normal(), cube = 1.0 + c * x;
    const double u = 1.0 - static_cast<double>(rng.uniform());
    if (cube <= 0) continue;
    const double v = cube * cube * cube;
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double beta(Rng& rng, double alpha, double beta) {
  const double a = gamma(rng, alpha), b = gamma(rng, beta);
  return a + b > 0 ? a / (a + b) : 0.5;
}

std::vector<int64_t> random_permutation(Rng& rng, int64_t size) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = size - 1; i > 0; --i) std::swap(order[i], order[random_index(rng, i + 1)]);
  return order;
}

}  // namespace ocelli
