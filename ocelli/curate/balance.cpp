#include "ocelli/curate/balance.h"

#include <algorithm>
#include <numeric>

#include "ocelli/base/rng.h"

namespace ocelli {
namespace {

class Sampler {
 public:
  Sampler(const std::vector<KMeans>& levels, uint64_t seed) : rng_(seed) {
    for (const KMeans& level : levels) {
      std::vector<std::vector<RowId>> members(level.sizes.size());
      for (size_t i = 0; i < level.cluster_of.size(); ++i) {
        members[level.cluster_of[i]].push_back(static_cast<RowId>(i));
      }
      members_.push_back(std::move(members));
    }
    for (size_t level = 0; level < members_.size(); ++level) {
      std::vector<int64_t> rows;
      for (const auto& parts : members_[level]) {
        int64_t sum = static_cast<int64_t>(parts.size());
        if (level > 0) {
          sum = 0;
          for (const RowId part : parts) sum += rows_[level - 1][part];
        }
        rows.push_back(sum);
      }
      rows_.push_back(std::move(rows));
    }
  }

  std::vector<RowId> operator()(int64_t target) {
    const size_t top = members_.size() - 1;
    std::vector<RowId> all(members_[top].size());
    std::iota(all.begin(), all.end(), 0);
    split(top, all, target);
    std::ranges::sort(chosen_);
    return std::move(chosen_);
  }

 private:
  // Shares the budget among clusters `parts` of a level.
  void split(size_t level, const std::vector<RowId>& parts, int64_t budget) {
    std::vector<int64_t> sizes;
    for (const RowId part : parts) sizes.push_back(rows_[level][part]);
    const std::vector<int64_t> shares = share_evenly(budget, sizes);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (level > 0)
        split(level - 1, members_[level][parts[i]], shares[i]);
      else
        draw(members_[0][parts[i]], shares[i]);
    }
  }

  // The first of a shuffle (Fisher and Yates).
  void draw(std::vector<RowId> rows, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t left = rows.size() - static_cast<size_t>(i);
      std::swap(rows[i], rows[i + static_cast<int64_t>(rng_.next_u32() * left >> 32)]);
      chosen_.push_back(rows[i]);
    }
  }

  Rng rng_;
  std::vector<std::vector<std::vector<RowId>>> members_;  // of each cluster of each level
  std::vector<std::vector<int64_t>> rows_;                // below each cluster
  std::vector<RowId> chosen_;
};

}  // namespace

std::vector<int64_t> share_evenly(int64_t budget, const std::vector<int64_t>& sizes) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](size_t i) { return sizes[i]; });
  std::vector<int64_t> shares(sizes.size());
  auto parts = static_cast<int64_t>(sizes.size());
  for (const size_t i : order) {  // the smallest first: what it cannot take is left to the others
    shares[i] = std::min(sizes[i], (budget + parts - 1) / parts);
    budget -= shares[i];
    --parts;
  }
  return shares;
}

std::vector<RowId> sample_balanced(const std::vector<KMeans>& levels, int64_t target,
                                   uint64_t seed) {
  return Sampler(levels, seed)(target);
}

}  // namespace ocelli
