#include "ocelli/engine/evaluate.h"

#include <algorithm>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/base/log.h"
#include "ocelli/formats/csv.h"

namespace ocelli {

Evaluation evaluate(const Classifier& classifier, const ClassImages& images,
                    const RunOptions& options) {
  const std::vector<int64_t> indices = match_classes(images, classifier.labels());
  Evaluation result;
  result.errors = run_images(
      classifier.model().processor, images.paths, classifier,
      [&](int64_t i, const Tensor& row) {
        const auto best = top_k(row, classifier.labels(), 5);
        const int64_t label = indices[images.class_of[i]];
        ++result.count;
        result.top1 += best[0].index == label;
        result.top5 +=
            std::ranges::any_of(best, [&](const Prediction& p) { return p.index == label; });
        ++result.confusion[{label, best[0].index}];
      },
      options);
  return result;
}

namespace {

using Name = std::function<std::string(int64_t)>;

void write_matrix(AtomicFile& file, const Evaluation& evaluation, const std::set<int64_t>& classes,
                  const Name& name) {
  CsvRow row = {"true \\ predicted"};
  for (const int64_t predicted : classes) row.push_back(name(predicted));
  file.write(csv_line(row));
  for (const int64_t truth : classes) {
    row = {name(truth)};
    for (const int64_t predicted : classes) {
      const auto found = evaluation.confusion.find({truth, predicted});
      row.push_back(std::to_string(found == evaluation.confusion.end() ? 0 : found->second));
    }
    file.write(csv_line(row));
  }
}

void write_pairs(AtomicFile& file, const Evaluation& evaluation, const Name& name) {
  file.write(csv_line({"true", "predicted", "count"}));
  for (const auto& [pair, count] : evaluation.confusion) {
    file.write(csv_line({name(pair.first), name(pair.second), std::to_string(count)}));
  }
}

}  // namespace

void write_confusion_csv(const std::string& path, const Evaluation& evaluation,
                         const std::vector<std::string>& labels) {
  const Name name = [&](int64_t i) {
    return i < static_cast<int64_t>(labels.size()) ? labels[i] : std::to_string(i);
  };
  std::set<int64_t> classes;
  for (const auto& [pair, count] : evaluation.confusion) {
    classes.insert({pair.first, pair.second});
  }
  AtomicFile file(path);
  if (static_cast<int64_t>(classes.size()) <= kLargestConfusion) {
    write_matrix(file, evaluation, classes, name);
  } else {
    log(LogLevel::warning,
        fmt::format("{}: {} classes are too many for a matrix; written are the pairs that occur",
                    path, classes.size()));
    write_pairs(file, evaluation, name);
  }
  file.commit();
}

}  // namespace ocelli
