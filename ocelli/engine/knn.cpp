#include "ocelli/engine/knn.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "ocelli/index/exact_search.h"
#include "ocelli/ops/linear.h"

namespace ocelli {
namespace {

constexpr int64_t kBlock = 256;  // queries whose similarities are held at once

// For each class of `test` that of `train` with its name.
std::vector<int64_t> match_names(const ClassImages& train, const ClassImages& test) {
  std::vector<int64_t> matched;
  for (const std::string& name : test.classes) {
    const auto found = std::ranges::lower_bound(train.classes, name);
    check(found != train.classes.end() && *found == name,
          "knn: the training images have no class '{}'", name);
    matched.push_back(found - train.classes.begin());
  }
  return matched;
}

}  // namespace

std::vector<int64_t> knn_classify(const Tensor& scores, const std::vector<int64_t>& class_of,
                                  const KnnOptions& options, int64_t top) {
  std::vector<RowId> ids(class_of.size());
  std::iota(ids.begin(), ids.end(), RowId{0});
  TopK best(options.k);
  best.add(scores.values<float>(), ids.data());
  std::map<int64_t, double> votes;
  for (const Hit& hit : best.take()) {
    votes[class_of[hit.row]] += std::exp(hit.score / options.temperature);
  }
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
  LinearWeight packed(rows, {});
  packed.pack();
  KnnCount count;
  for (int64_t begin = 0; begin < queries.size(0); begin += kBlock) {
    throw_if_cancelled();
    const int64_t end = std::min(queries.size(0), begin + kBlock);
    const Tensor scores = linear(queries.slice(0, begin, end), packed);
    for (int64_t i = begin; i < end; ++i) {
      const auto found = knn_classify(scores.select(0, i - begin), class_of, options, 5);
      const auto at = std::ranges::find(found, truth[i]);
      count.top1 += at == found.begin();
      count.top5 += at != found.end();
    }
  }
  return count;
}

std::vector<int64_t> classes_of(const ImageEmbeddings& images, const ClassImages& data) {
  std::vector<int64_t> classes;
  for (const int64_t image : images.images) classes.push_back(data.class_of[image]);
  return classes;
}

KnnResult knn_evaluate(const OpenModel& opened, const ClassImages& train, const ClassImages& test,
                       const KnnOptions& options) {
  check(options.k >= 1, "-k {}: at least 1 is needed", options.k);
  check(options.temperature > 0, "--temperature {}: more than 0 is needed", options.temperature);
  const std::vector<int64_t> matched = match_names(train, test);
  ImageEmbeddings known = embed_images(opened, train.paths, options.train);
  ImageEmbeddings asked = embed_images(opened, test.paths, options.test);
  KnnResult result;
  result.classes = static_cast<int64_t>(train.classes.size());
  result.errors = std::move(known.errors);
  result.errors.insert(result.errors.end(), asked.errors.begin(), asked.errors.end());
  result.train = known.rows.size(0);
  result.count = asked.rows.size(0);
  check(result.train > 0, "knn: none of the training images could be read");
  std::vector<int64_t> truth = classes_of(asked, test);
  for (int64_t& label : truth) label = matched[label];
  const KnnCount count =
      count_knn(known.rows, classes_of(known, train), asked.rows, truth, options);
  result.top1 = count.top1;
  result.top5 = count.top5;
  return result;
}

}  // namespace ocelli
