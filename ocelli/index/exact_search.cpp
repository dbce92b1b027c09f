#include "ocelli/index/exact_search.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "ocelli/backend/backend.h"
#include "ocelli/base/threads.h"
#include "ocelli/index/dot.h"

namespace ocelli {
namespace {

constexpr int64_t kRows = 512;     // of a block
constexpr int64_t kQueries = 128;  // whose scores with a block stay in the second-level cache
constexpr int64_t kFew = 8;        // queries below which preparing a product does not pay

// What one thread has found for each query in its share of the rows.
class Share {
 public:
  Share(const Tensor& queries, const HalfRows& rows, std::span<const RowId> among, int64_t k)
      : queries_(queries), rows_(rows), among_(among), best_(queries.size(0), TopK(k)) {}

  void look(int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kRows) {
      throw_if_cancelled();
      const int64_t count = std::min(kRows, end - at);
      ids_.resize(count);
      if (among_.empty()) {
        std::iota(ids_.begin(), ids_.end(), static_cast<RowId>(at));
      } else {
        std::copy_n(among_.begin() + at, count, ids_.begin());
      }
      queries_.size(0) < kFew ? look_by_rows() : look_by_products();
    }
  }

  std::vector<TopK>& best() { return best_; }

 private:
  void look_by_rows() {
    scores_.resize(ids_.size());
    for (int64_t q = 0; q < queries_.size(0); ++q) {
      dot_rows(queries_.data<float>() + q * rows_.width, rows_, ids_, scores_.data());
      best_[q].add(scores_, ids_.data());
    }
  }

  void look_by_products() {
    const detail::RowBlock block(rows_, ids_);
    const auto size = static_cast<int64_t>(ids_.size());
    scores_.resize(kQueries * size);
    for (int64_t q = 0; q < queries_.size(0); q += kQueries) {
      const int64_t count = std::min(kQueries, queries_.size(0) - q);
      block.scores(queries_.data<float>() + q * rows_.width, count, scores_.data());
      for (int64_t i = 0; i < count; ++i) {
        best_[q + i].add(std::span(scores_).subspan(i * size, size), ids_.data());
      }
    }
  }

  const Tensor& queries_;
  const HalfRows& rows_;
  std::span<const RowId> among_;
  std::vector<TopK> best_;
  std::vector<RowId> ids_;
  std::vector<float> scores_;
};

}  // namespace

void TopK::add(std::span<const float> scores, const RowId* ids) {
  constexpr int64_t kStep = 256;
  int32_t places[kStep];
  for (size_t at = 0; at < scores.size(); at += kStep) {
    const auto n = static_cast<int64_t>(std::min<size_t>(kStep, scores.size() - at));
    const int64_t found = find_above(scores.data() + at, n, threshold_, places);
    for (int64_t i = 0; i < found; ++i) {
      const size_t place = at + static_cast<size_t>(places[i]);
      add({scores[place], ids[place]});
    }
  }
}

void TopK::add(const Hit& hit) {
  if (!(hit.score > threshold_)) return;
  hits_.push_back(hit);
  if (static_cast<int64_t>(hits_.size()) >= std::max<int64_t>(2 * k_, 16)) shrink();
}

void TopK::shrink() {
  if (static_cast<int64_t>(hits_.size()) <= k_) return;
  if (k_ == 0) return hits_.clear();
  std::nth_element(hits_.begin(), hits_.begin() + (k_ - 1), hits_.end(), better);
  hits_.resize(k_);
  threshold_ = hits_.back().score;
}

std::vector<Hit> TopK::take() {
  shrink();
  std::ranges::sort(hits_, better);
  return std::move(hits_);
}

void detail::gather(const HalfRows& rows, std::span<const RowId> ids, float* into) {
  for (const RowId id : ids) {
    widen(rows.row(id), rows.width, into);
    into += rows.width;
  }
}

detail::RowBlock::RowBlock(const HalfRows& rows, std::span<const RowId> ids)
    : count_(static_cast<int64_t>(ids.size())), width_(rows.width) {
  const Tensor wide = Tensor::empty({count_, width_});
  gather(rows, ids, wide.data<float>());
  packed_ = backend::cpu().pack_linear(wide, nullptr);
}

void detail::RowBlock::scores(const float* queries, int64_t count, float* into) const {
  const View x{const_cast<float*>(queries), DType::f32, {count, width_}, {width_, 1}};
  const View y{into, DType::f32, {count, count_}, {count_, 1}};
  backend::cpu().linear(y, x, *static_cast<const backend::Packed*>(packed_.get()), {});
}

std::vector<std::vector<Hit>> search_exact(const Tensor& queries, const HalfRows& rows, int64_t k,
                                           const std::optional<std::vector<RowId>>& among) {
  check(queries.rank() == 2 && queries.size(1) == rows.width,
        "search: the queries are {} but the rows have {} numbers", queries.shape(), rows.width);
  check(k >= 0, "search: k is {}; it must not be negative", k);
  const int64_t count = queries.size(0), total = among ? among->size() : rows.count;
  std::vector<std::vector<Hit>> answers(count);
  std::mutex mutex;
  if (total > 0) {
    parallel_for(total, 4096, [&](int64_t begin, int64_t end) {
      Share share(queries, rows, among ? std::span<const RowId>(*among) : std::span<const RowId>(),
                  k);
      share.look(begin, end);
      std::lock_guard lock(mutex);
      for (int64_t q = 0; q < count; ++q) {
        const std::vector<Hit> found = share.best()[q].take();
        answers[q].insert(answers[q].end(), found.begin(), found.end());
      }
    });
  }
  for (std::vector<Hit>& hits : answers) {
    std::ranges::sort(hits, better);
    hits.resize(std::min(static_cast<int64_t>(hits.size()), k));
  }
  return answers;
}

}  // namespace ocelli
