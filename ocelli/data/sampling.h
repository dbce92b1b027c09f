// In which order an epoch goes through the samples of a dataset, on one of several ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace ocelli {

struct Sampling {
  bool shuffle = true;
  uint64_t seed = 0;
  // This process is `rank` of `world`. Ranks take turns (place_of), and all get the same number:
  // the first samples come again at the end where it does not come out even (DistributedSampler).
  int64_t rank = 0, world = 1;
  // Leaves out the samples that the ranks cannot share evenly, and the loader a last batch that is
  // not full, so that there are as many batches as on one rank.
  bool drop_last = false;
  // Repeated augmentation (arXiv 1901.09335, DeiT): every sample stands `repeats` times in a row
  // before the ranks take turns; the epoch keeps its length (rounded down to 256 samples).
  int64_t repeats = 1;
  // One a sample: draws with replacement in their proportion (WeightedRandomSampler).
  std::vector<double> weights = {};
  // Samples of an epoch on all ranks; 0: as many as there are. Needed for shards on several ranks.
  int64_t epoch_size = 0;
  // Shards: how many samples wait for their turn to be shuffled.
  int64_t shuffle_buffer = 1000;
};

// The indices of an epoch, one a call; nothing at its end.
using Order = std::function<std::optional<int64_t>()>;

// Where the rank's sample number `number` of an epoch stands among those of all ranks. Turns go to
// and fro, 0 1 2 2 1 0: in a batch of an even number a rank, first and last sample, second and
// second last and so on are of one rank, as Mixup pairs them.
int64_t place_of(const Sampling& sampling, int64_t number);
// How many samples an epoch has on each rank, for a dataset of `size` samples.
int64_t epoch_size(const Sampling& sampling, int64_t size);
// A function of its arguments alone. Throws invalid_argument for options that do not go together.
Order epoch_order(const Sampling& sampling, int64_t size, int64_t epoch);

// Weights that make all classes equally frequent: 1 / (number of samples of the class).
std::vector<double> balanced_weights(std::span<const int64_t> labels);

}  // namespace ocelli
