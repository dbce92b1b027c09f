#include "ocelli/engine/knn.h"

#include <algorithm>

namespace ocelli {
namespace {

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

std::vector<int64_t> classes_of(const ImageEmbeddings& images, const ClassImages& data) {
  std::vector<int64_t> classes;
  for (const int64_t image : images.images) classes.push_back(data.class_of[image]);
  return classes;
}

KnnResult knn_evaluate(const OpenModel& opened, const ClassImages& train, const ClassImages& test,
                       const KnnOptions& options, const RunOptions& train_run,
                       const RunOptions& test_run) {
  check(options.k >= 1, "-k {}: at least 1 is needed", options.k);
  check(options.temperature > 0, "--temperature {}: more than 0 is needed", options.temperature);
  const std::vector<int64_t> matched = match_names(train, test);
  ImageEmbeddings known = embed_images(opened, train.paths, train_run);
  ImageEmbeddings asked = embed_images(opened, test.paths, test_run);
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
