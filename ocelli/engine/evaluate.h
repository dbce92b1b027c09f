// Accuracy of a classifier on labelled images.
#pragma once

#include <map>

#include "ocelli/data/image_list.h"
#include "ocelli/engine/classify.h"

namespace ocelli {

struct Evaluation {
  int64_t count = 0, top1 = 0, top5 = 0;
  std::map<std::pair<int64_t, int64_t>, int64_t> confusion;  // (true class, best class) -> images
  std::vector<ItemError> errors;
};

// Images that fail count for nothing but are returned.
Evaluation evaluate(const Classifier& classifier, const ClassImages& images,
                    const RunOptions& options);

// A table with the classes that occur, true ones down, predicted ones across, and the number of
// images in each cell. With more than kLargestConfusion classes it would be mostly zeros: then one
// line `true,predicted,count` for each pair that occurs, which is logged. Written atomically.
constexpr int64_t kLargestConfusion = 2000;
void write_confusion_csv(const std::string& path, const Evaluation& evaluation,
                         const std::vector<std::string>& labels);

}  // namespace ocelli
