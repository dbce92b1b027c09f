// pHash: the signs of the 64 lowest frequencies of a small grey picture against their median.
// Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010).
#pragma once

#include <bit>
#include <cstdint>

#include "ocelli/image/image.h"

namespace ocelli {

uint64_t perceptual_hash(const Image& image);

// Bits that differ: 0 to 64; about 32 for pictures that have nothing to do with each other.
inline int hash_distance(uint64_t a, uint64_t b) {
  return std::popcount(a ^ b);
}

}  // namespace ocelli
