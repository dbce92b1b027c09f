#include "ocelli/train/across_ranks.h"

#include <algorithm>
#include <limits>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

double sum_over(const Ranks& ranks, double value) {
  if (ranks.size() == 1) return value;
  auto sum = static_cast<float>(value);
  ranks.sum({&sum, 1});
  return sum;
}

double mean_over(const Ranks& ranks, double value) {
  return sum_over(ranks, value) / ranks.size();
}

Tensor sum_over(const Ranks& ranks, const Tensor& x) {
  const Tensor sums = contiguous(x);
  ranks.sum(sums.values<float>());
  return sums;
}

Tensor column_sums(const Ranks& ranks, const Tensor& x) {
  const NoTape pause;
  return sum_over(ranks, x.size(0) > 0 ? sum(x, 0) : Tensor::zeros({x.size(1)}));
}

Tensor column_maxima(const Ranks& ranks, const Tensor& x) {
  const NoTape pause;
  constexpr float kNone = std::numeric_limits<float>::lowest();
  const Tensor mine = x.size(0) > 0 ? amax(x, 0) : Tensor::full({x.size(1)}, kNone);
  const Tensor all = Tensor::empty({ranks.size(), x.size(1)});
  ranks.gather(contiguous(mine).values<float>(), all.values<float>());
  return amax(all, 0);
}

Tensor gather(const Ranks& ranks, const Tensor& x) {
  if (ranks.size() == 1) return x;
  const int64_t count = x.size(0), begin = count * ranks.rank(), world = ranks.size();
  const Tensor all = Tensor::empty({count * world, x.size(1)});
  const Tensor mine = contiguous(x);
  ranks.gather(mine.values<float>(), all.values<float>());
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("gather", all,
                 [x = Place(x), begin, count, world](const Tensor& dy, Gradients& gradients) {
                   gradients.add(x, dy.slice(0, begin, begin + count) * static_cast<float>(world));
                 });
  }
  return all;
}

Tensor gather_rows(const Ranks& ranks, const std::vector<Tensor>& mine) {
  if (ranks.size() == 1) return cat(mine, 0);
  const Tensor rows = mine.empty() ? Tensor::zeros({0, 0}) : contiguous(cat(mine, 0));
  const float shape[] = {static_cast<float>(rows.size(0)), static_cast<float>(rows.size(1))};
  const Tensor shapes = Tensor::empty({ranks.size(), 2});
  ranks.gather(shape, shapes.values<float>());
  int64_t most = 0, width = 0;
  for (int64_t r = 0; r < ranks.size(); ++r) {
    most = std::max(most, static_cast<int64_t>(shapes.data<float>()[2 * r]));
    width = std::max(width, static_cast<int64_t>(shapes.data<float>()[2 * r + 1]));
  }
  check(most > 0, "no rank has a row");
  const Tensor padded = Tensor::zeros({most, width});
  std::ranges::copy(rows.values<float>(), padded.values<float>().begin());
  const Tensor all = Tensor::empty({ranks.size() * most, width});
  ranks.gather(padded.values<float>(), all.values<float>());
  std::vector<Tensor> parts;
  for (int64_t r = 0; r < ranks.size(); ++r) {
    const auto count = static_cast<int64_t>(shapes.data<float>()[2 * r]);
    if (count > 0) parts.push_back(all.slice(0, r * most, r * most + count));
  }
  return cat(parts, 0);
}

}  // namespace ocelli
