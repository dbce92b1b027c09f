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

std::pair<int64_t, int64_t> share_of(const Ranks& ranks, int64_t count) {
  return {count * ranks.rank() / ranks.size(), count * (ranks.rank() + 1) / ranks.size()};
}

std::vector<std::string> gather(const Ranks& ranks, const std::string& mine) {
  std::vector<std::string> all;
  for (int r = 0; r < ranks.size(); ++r)
    all.push_back(ranks.broadcast(r == ranks.rank() ? mine : std::string(), r));
  return all;
}

Tensor gather_rows(const Ranks& ranks, const std::vector<Tensor>& mine) {
  if (ranks.size() == 1) return cat(mine, 0);
  const Tensor rows = mine.empty() ? Tensor::zeros({0, 0}) : contiguous(cat(mine, 0));
  int64_t width = 0, count = 0;
  for (const std::string& text : gather(ranks, std::to_string(rows.size(1))))
    width = std::max<int64_t>(width, std::stoll(text));
  check(width > 0, "no rank has a row");
  const auto all = gather(ranks, std::string(static_cast<const char*>(rows.raw()), rows.nbytes()));
  for (const std::string& part : all) count += std::ssize(part) / width / 4;
  const Tensor table = Tensor::empty({count, width});
  auto* to = static_cast<char*>(table.raw());
  for (const std::string& part : all) to = std::ranges::copy(part, to).out;
  return table;
}

}  // namespace ocelli
