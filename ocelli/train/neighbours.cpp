#include "ocelli/train/neighbours.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "ocelli/base/progress.h"
#include "ocelli/base/threads.h"
#include "ocelli/ops/linear.h"

namespace ocelli {
namespace {

constexpr int64_t kQueryBlock = 256;  // queries compared with all keys at a time

// Shows each query, from any thread, its similarities with all keys.
void compare(const Tensor& queries, const Tensor& keys,
             const std::function<void(int64_t query, std::span<float>)>& show) {
  LinearWeight packed(keys, {});
  packed.pack();
  const int64_t count = queries.size(0);
  for (int64_t begin = 0; begin < count; begin += kQueryBlock) {
    throw_if_cancelled();
    const int64_t end = std::min(count, begin + kQueryBlock);
    const Tensor similarity = linear(queries.slice(0, begin, end), packed);  // [block, K]
    parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        show(begin + i, similarity.select(0, i).values<float>());
      }
    });
  }
}

// The place of the best of `own` among all keys, from 0.
int64_t best_rank(std::span<const float> similarity, const std::vector<int64_t>& own) {
  const int64_t best = *std::ranges::min_element(own, [&](int64_t a, int64_t b) {
    return similarity[a] > similarity[b] || (similarity[a] == similarity[b] && a < b);
  });
  int64_t rank = 0;
  for (int64_t k = 0; k < static_cast<int64_t>(similarity.size()); ++k) {
    rank += similarity[k] > similarity[best] || (similarity[k] == similarity[best] && k < best);
  }
  return rank;
}

// Of query `q`, one of the keys itself; nothing without another of its class.
std::optional<double> average_precision(std::span<const float> similarity, int64_t q,
                                        const std::vector<int64_t>& class_of) {
  std::vector<int64_t> order;
  for (int64_t k = 0; k < std::ssize(similarity); ++k)
    if (k != q) order.push_back(k);
  std::ranges::stable_sort(order, std::greater{}, [&](int64_t k) { return similarity[k]; });
  double found = 0, precisions = 0;
  for (size_t place = 0; place < order.size(); ++place) {
    if (class_of[order[place]] != class_of[q]) continue;
    precisions += ++found / static_cast<double>(place + 1);
  }
  if (found == 0) return std::nullopt;
  return precisions / found;
}

}  // namespace

std::vector<int64_t> knn_classify(std::span<const float> scores,
                                  const std::vector<int64_t>& class_of, const KnnOptions& options,
                                  int64_t top) {
  std::vector<int64_t> nearest(scores.size());
  std::iota(nearest.begin(), nearest.end(), 0);
  const auto end = nearest.begin() + std::min<int64_t>(options.k, std::ssize(nearest));
  std::partial_sort(nearest.begin(), end, nearest.end(), [&](int64_t a, int64_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  std::map<int64_t, double> votes;
  for (auto at = nearest.begin(); at != end; ++at)
    votes[class_of[*at]] += std::exp(scores[*at] / options.temperature);
  std::vector<std::pair<double, int64_t>> order;
  for (const auto& [label, vote] : votes) order.emplace_back(-vote, label);
  std::ranges::sort(order);
  std::vector<int64_t> classes;
  for (const auto& [vote, label] : order) {
    if (static_cast<int64_t>(classes.size()) < top) classes.push_back(label);
  }
  return classes;
}

KnnCount count_knn(const Tensor& rows, const std::vector<int64_t>& class_of, const Tensor& queries,
                   const std::vector<int64_t>& truth, const KnnOptions& options) {
  std::atomic<int64_t> top1 = 0, top5 = 0;
  compare(queries, rows, [&](int64_t q, std::span<float> similarity) {
    const auto found = knn_classify(similarity, class_of, options, 5);
    const auto at = std::ranges::find(found, truth[q]);
    top1 += at == found.begin();
    top5 += at != found.end();
  });
  return {top1, top5};
}

int64_t count_knn(const Tensor& rows, const std::vector<int64_t>& class_of) {
  check(rows.size(0) >= 2, "test: {} images; at least two are needed", rows.size(0));
  std::atomic<int64_t> right = 0;
  compare(rows, rows, [&](int64_t q, std::span<float> similarity) {
    similarity[q] = -std::numeric_limits<float>::infinity();  // it does not vote
    right += knn_classify(similarity, class_of, {}, 1)[0] == class_of[q];
  });
  return right;
}

Recall recall(const Tensor& queries, const Tensor& keys,
              const std::vector<std::vector<int64_t>>& own) {
  const int64_t count = queries.size(0);
  std::vector<int64_t> ranks(count);
  compare(queries, keys, [&](int64_t q, std::span<const float> similarity) {
    ranks[q] = best_rank(similarity, own[q]);
  });
  const auto within = [&](int64_t k) {
    return static_cast<double>(std::ranges::count_if(ranks, [&](int64_t r) { return r < k; })) /
           static_cast<double>(std::max<int64_t>(count, 1));
  };
  return {within(1), within(5), within(10)};
}

double mean_average_precision(const Tensor& rows, const std::vector<int64_t>& class_of) {
  std::vector<std::optional<double>> precisions(class_of.size());
  compare(rows, rows, [&](int64_t q, std::span<const float> similarity) {
    precisions[q] = average_precision(similarity, q, class_of);
  });
  double sum = 0;
  int64_t queries = 0;
  for (const auto& precision : precisions) {
    sum += precision.value_or(0);
    queries += precision.has_value();
  }
  return sum / static_cast<double>(std::max<int64_t>(queries, 1));
}

}  // namespace ocelli
