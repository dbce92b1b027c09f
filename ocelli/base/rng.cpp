#include "ocelli/base/rng.h"

#include <cmath>
#include <numbers>

namespace ocelli {
namespace {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t seed) {
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

}  // namespace

uint32_t Rng::next_u32() {
  if (used_ == 4) {
    buffer_ = philox({static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32),
                      static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                     seed_);
    ++block_;
    used_ = 0;
  }
  return buffer_[static_cast<size_t>(used_++)];
}

float Rng::uniform() {
  return static_cast<float>(next_u32() >> 8) * 0x1p-24f;
}

float Rng::normal() {
  const double u = 1.0 - static_cast<double>(uniform()), v = uniform();
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

float Rng::truncated_normal() {
  float x = normal();
  while (std::abs(x) > 2.0f) x = normal();
  return x;
}

}  // namespace ocelli
