// pHash: the signs of the 64 lowest frequencies of a small grey picture against their median.
// Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010).
#pragma once

#include <array>
#include <cstdint>

#include "ocelli/image/image.h"

namespace ocelli {

// Of a picture as it is, and of it mirrored and turned in the other seven ways.
using PerceptualHash = std::array<uint64_t, 8>;

// Bits that two pictures of one photograph differ in at most, as a rule.
constexpr int kNearHash = 10;

PerceptualHash perceptual_hash(const Image& image);

// Bits that differ, where `b` is laid on `a` in the best of the eight ways, or is its negative: 0
// to 64; about 25 for pictures that have nothing to do with each other.
int hash_distance(const PerceptualHash& a, const PerceptualHash& b);

}  // namespace ocelli
