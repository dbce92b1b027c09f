#include "ocelli/nn/drop_path.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"

namespace ocelli {
namespace {

thread_local DropPath* at_work = nullptr;

}  // namespace

DropPath::DropPath(double rate, Rng rng) : rate_(rate), rng_(rng), outer_(at_work) {
  check(rate >= 0 && rate < 1, "drop_path is {}, not in [0, 1)", rate);
  at_work = this;
}

DropPath::~DropPath() {
  at_work = outer_;
}

std::array<Tensor, 2> DropPath::draw(int64_t batch) {
  if (!at_work || at_work->rate_ == 0 || !Tape::active()) return {};
  const Tensor first = at_work->draw_one(batch);
  return {first, at_work->draw_one(batch)};
}

// The first n of a permutation (Fisher and Yates).
Tensor DropPath::draw_one(int64_t batch) {
  used_ = true;
  std::vector<int32_t> order(static_cast<size_t>(batch));
  std::iota(order.begin(), order.end(), 0);
  const int64_t count = std::max(std::min<int64_t>(batch, 1),
                                 static_cast<int64_t>(static_cast<double>(batch) * (1 - rate_)));
  for (int64_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + rng_.next_u32() % static_cast<uint64_t>(batch - i)]);
  }
  order.resize(static_cast<size_t>(count));
  std::ranges::sort(order);
  return Tensor::from<int32_t>(order, {count});
}

Tensor DropPath::rows(const Tensor& x, const Tensor& kept) {
  return embedding(kept, x);
}

Tensor DropPath::add_rows(const Tensor& x, const Tensor& kept, const Tensor& branch) {
  const auto scale =
      static_cast<float>(static_cast<double>(x.size(0)) / static_cast<double>(kept.numel()));
  return index_add(x, kept, branch, scale);
}

}  // namespace ocelli
