#include "ocelli/engine/few_shot.h"

#include <algorithm>
#include <cmath>

#include "ocelli/data/random.h"

namespace ocelli {

LabelledRows labelled_rows(const OpenModel& opened, const ClassImages& data, const Forward& forward,
                           const RunOptions& run, std::vector<ItemError>& errors) {
  std::vector<float> values;
  LabelledRows known;
  int64_t width = 0;
  const auto failed = run_images(
      opened.processor, data.paths, forward,
      [&](int64_t index, const Tensor& row) {
        const auto row_values = row.values<float>();
        values.insert(values.end(), row_values.begin(), row_values.end());
        width = std::ssize(row_values);
        known.class_of.push_back(data.class_of[static_cast<size_t>(index)]);
      },
      run);
  errors.insert(errors.end(), failed.begin(), failed.end());
  check(!known.class_of.empty(), "train: none of the images could be read");
  known.rows = Tensor::from<float>(values, {std::ssize(known.class_of), width});
  return known;
}

std::vector<std::vector<int64_t>> rows_by_class(const LabelledRows& known, const ClassImages& data,
                                                int64_t shots) {
  std::vector<std::vector<int64_t>> of_class(data.classes.size());
  for (size_t i = 0; i < known.class_of.size(); ++i)
    of_class[static_cast<size_t>(known.class_of[i])].push_back(static_cast<int64_t>(i));
  for (size_t c = 0; c < of_class.size(); ++c) {
    check(std::ssize(of_class[c]) >= std::max<int64_t>(shots, 1),
          "train: --shots {}: the class '{}' has {} images", shots, data.classes[c],
          of_class[c].size());
  }
  return of_class;
}

Draw draw(const std::vector<std::vector<int64_t>>& of_class, int64_t shots, uint64_t seed,
          int64_t episode) {
  Draw drawn;
  for (size_t c = 0; c < of_class.size(); ++c) {
    Rng rng = keyed_rng({seed, static_cast<uint64_t>(episode), c});
    const auto order = random_permutation(rng, std::ssize(of_class[c]));
    for (size_t i = 0; i < order.size(); ++i) {
      auto& side = static_cast<int64_t>(i) < shots ? drawn.known : drawn.rest;
      side.push_back(of_class[c][static_cast<size_t>(order[i])]);
    }
  }
  return drawn;
}

Estimate estimate(const std::vector<double>& numbers) {
  const auto n = static_cast<double>(numbers.size());
  Estimate result;
  double squares = 0;
  for (const double x : numbers) result.mean += x / n;
  for (const double x : numbers) squares += (x - result.mean) * (x - result.mean);
  if (n > 1) result.interval = 1.96 * std::sqrt(squares / (n - 1) / n);
  return result;
}

}  // namespace ocelli
