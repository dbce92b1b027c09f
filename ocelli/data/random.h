// Draws from a seeded generator, as the data shelf needs them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "ocelli/base/rng.h"

namespace ocelli {

// A generator that is a function of the numbers alone: (seed, epoch, sample, ...).
Rng keyed_rng(std::initializer_list<uint64_t> keys);

double uniform(Rng& rng, double low, double high);  // [low, high)
int64_t random_index(Rng& rng, int64_t size);       // [0, size), size >= 1
bool chance(Rng& rng, double probability);
double gamma(Rng& rng, double shape);              // scale 1; shape > 0
double beta(Rng& rng, double alpha, double beta);  // both > 0

// A permutation of 0 .. size - 1.
std::vector<int64_t> random_permutation(Rng& rng, int64_t size);

}  // namespace ocelli
