#include "ocelli/engine/few_shot.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ocelli/data/random.h"
#include "ocelli/train/across_ranks.h"

namespace ocelli {
namespace {

// Those of all ranks, on each.
std::vector<ItemError> gather_errors(const Ranks& ranks, const std::vector<ItemError>& mine) {
  auto list = nlohmann::json::array();
  for (const ItemError& item : mine)
    list.push_back({item.index, item.path, item.error.code(), item.error.what()});
  std::string bytes;
  nlohmann::json::to_cbor(list, bytes);  // paths need not be UTF-8
  std::vector<ItemError> errors;
  for (const std::string& part : gather(ranks, bytes)) {
    for (const auto& item : nlohmann::json::from_cbor(part))
      errors.push_back({item[0], item[1], Error(item[2].get<ErrorCode>(), item[3])});
  }
  return errors;
}

// Each rank embeds a share of the images, and all get the whole.
LabelledRows labelled_rows(const OpenModel& opened, const ClassImages& data, const Forward& forward,
                           const RunOptions& run, std::vector<ItemError>& errors) {
  const Ranks& ranks = ocelli::ranks();
  const auto [begin, end] = share_of(ranks, std::ssize(data.paths));
  const auto share = std::span(data.paths).subspan(begin, end - begin);
  std::vector<Tensor> rows;
  auto failed = run_images(
      opened.processor, share, forward,
      [&](int64_t, const Tensor& row) { rows.push_back(row.unsqueeze(0)); }, run);
  for (ItemError& item : failed) item.index += begin;
  failed = gather_errors(ranks, failed);
  check(failed.size() < data.paths.size(), "train: none of the images could be read");
  LabelledRows known{gather_rows(ranks, rows), {}};
  auto bad = failed.begin();
  for (int64_t i = 0; i < std::ssize(data.paths); ++i) {
    if (bad != failed.end() && bad->index == i)
      ++bad;
    else
      known.class_of.push_back(data.class_of[static_cast<size_t>(i)]);
  }
  errors.insert(errors.end(), failed.begin(), failed.end());
  return known;
}

std::vector<std::vector<int64_t>> rows_by_class(const std::vector<int64_t>& class_of,
                                                const std::vector<std::string>& classes,
                                                bool tested, int64_t shots) {
  std::vector<std::vector<int64_t>> of_class(classes.size());
  for (size_t i = 0; i < class_of.size(); ++i)
    of_class[static_cast<size_t>(class_of[i])].push_back(static_cast<int64_t>(i));
  for (size_t c = 0; c < of_class.size(); ++c) {
    check(std::ssize(of_class[c]) >= std::max<int64_t>(shots, 1),
          "train: --shots {}: the class '{}' has {} images", shots, classes[c], of_class[c].size());
  }
  check(tested || std::ssize(class_of) > shots * std::ssize(classes),
        "train: --shots {} leaves no image to test on; give some with --test", shots);
  return of_class;
}

}  // namespace

void check_shots(const ClassImages& train, const std::optional<ClassImages>& test, int64_t shots) {
  check(train.classes.size() >= 2, "train: {} classes; at least two are needed",
        train.classes.size());
  if (test) match_classes(*test, train.classes);
  rows_by_class(train.class_of, train.classes, test.has_value(), shots);
}

FewShotData few_shot_data(const OpenModel& opened, const ClassImages& train,
                          const std::optional<ClassImages>& test, const Forward& forward,
                          const RunOptions& train_run, const RunOptions& test_run, int64_t shots,
                          std::vector<ItemError>& errors) {
  FewShotData data{labelled_rows(opened, train, forward, train_run, errors), {}, {}};
  if (test) {
    const std::vector<int64_t> matched = match_classes(*test, train.classes);
    data.asked = labelled_rows(opened, *test, forward, test_run, errors);
    for (int64_t& label : data.asked->class_of) label = matched[static_cast<size_t>(label)];
  }
  data.of_class = rows_by_class(data.known.class_of, train.classes, test.has_value(), shots);
  return data;
}

Episode draw(const FewShotData& data, int64_t shots, uint64_t seed, int64_t episode) {
  std::vector<int64_t> known, rest;
  for (size_t c = 0; c < data.of_class.size(); ++c) {
    Rng rng = keyed_rng({seed, static_cast<uint64_t>(episode), c});
    const auto order = random_permutation(rng, std::ssize(data.of_class[c]));
    for (size_t i = 0; i < order.size(); ++i) {
      auto& side = static_cast<int64_t>(i) < shots ? known : rest;
      side.push_back(data.of_class[c][static_cast<size_t>(order[i])]);
    }
  }
  return {data.known.at(known), data.asked ? *data.asked : data.known.at(rest)};
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
