#include "ocelli/data/sampling.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include "ocelli/base/error.h"
#include "ocelli/data/random.h"

namespace ocelli {
namespace {

constexpr int64_t kSelectedRound = 256;  // of DeiT's sampler

void check_sampling(const Sampling& s, int64_t size) {
  check(size > 0, "the dataset is empty");
  check(s.world >= 1 && s.rank >= 0 && s.rank < s.world, "rank {} is not one of {}", s.rank,
        s.world);
  check(s.repeats >= 1, "repeated augmentation {} times; 1 is once", s.repeats);
  check(s.weights.empty() || std::ssize(s.weights) == size, "{} weights were given for {} samples",
        s.weights.size(), size);
  check(s.weights.empty() || s.repeats == 1,
        "weights and repeated augmentation do not go together");
}

// Samples of all ranks, before the ranks share them out.
int64_t total_size(const Sampling& s, int64_t size) {
  if (s.epoch_size > 0) return s.epoch_size;
  if (s.repeats == 1 || size < kSelectedRound) return size;
  return size / kSelectedRound * kSelectedRound;
}

// Draws with replacement: each a function of its place in the epoch.
Order weighted_order(const Sampling& s, int64_t epoch, int64_t count) {
  auto sums = std::make_shared<std::vector<double>>();
  for (const double weight : s.weights) {
    check(weight >= 0, "the weight {} of a sample is negative", weight);
    sums->push_back(weight + (sums->empty() ? 0 : sums->back()));
  }
  check(sums->back() > 0, "the weights of all samples are 0");
  return [=, number = int64_t{0}]() mutable -> std::optional<int64_t> {
    if (number >= count) return std::nullopt;
    const auto place = static_cast<uint64_t>(place_of(s, number++));
    Rng rng = keyed_rng({s.seed, static_cast<uint64_t>(epoch), place});
    const auto found = std::ranges::upper_bound(*sums, uniform(rng, 0, sums->back()));
    return std::min<int64_t>(found - sums->begin(), std::ssize(*sums) - 1);
  };
}

}  // namespace

int64_t place_of(const Sampling& s, int64_t number) {
  return number * s.world + (number % 2 == 0 ? s.rank : s.world - 1 - s.rank);
}

int64_t epoch_size(const Sampling& sampling, int64_t size) {
  const int64_t total = total_size(sampling, size);
  return (sampling.drop_last ? total : total + sampling.world - 1) / sampling.world;
}

Order epoch_order(const Sampling& s, int64_t size, int64_t epoch) {
  check_sampling(s, size);
  const int64_t count = epoch_size(s, size);
  if (!s.weights.empty()) return weighted_order(s, epoch, count);
  std::vector<int64_t> order;
  if (s.shuffle) {
    Rng rng = keyed_rng({s.seed, static_cast<uint64_t>(epoch)});
    order = random_permutation(rng, size);
  } else {
    order.resize(static_cast<size_t>(size));
    std::iota(order.begin(), order.end(), 0);
  }
  return [=, order = std::move(order), number = int64_t{0}]() mutable -> std::optional<int64_t> {
    if (number >= count) return std::nullopt;
    const int64_t place = place_of(s, number++);
    return order[static_cast<size_t>(place / s.repeats % std::ssize(order))];
  };
}

std::vector<double> balanced_weights(std::span<const int64_t> labels) {
  std::map<int64_t, double> counts;
  for (const int64_t label : labels) counts[label] += 1;
  std::vector<double> weights;
  for (const int64_t label : labels) weights.push_back(1 / counts[label]);
  return weights;
}

}  // namespace ocelli
