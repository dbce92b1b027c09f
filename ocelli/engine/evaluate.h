// Accuracy of a classifier on labelled images.
#pragma once

#include <map>

#include "ocelli/engine/classify.h"

namespace ocelli {

struct LabelledImages {
  std::vector<std::string> paths;
  std::vector<int64_t> labels;  // class index of each
};

// One sub-folder a class. A folder's class is, in this order: the label of that name (ignoring
// case,
// '_' as space, any of a label's comma-separated synonyms); the index, when the name is a number
// (any number for models without label names);
// its place among the sorted folders, when there are as many folders as classes (torchvision's
// ImageFolder). Throws invalid_argument naming the folder that fits none.
LabelledImages read_class_folders(const std::string& root, const std::vector<std::string>& labels);

// The names of the sub-folders, '_' as space: classes for zero-shot evaluation without --labels.
std::vector<std::string> class_folder_labels(const std::string& root);

struct Evaluation {
  int64_t count = 0, top1 = 0, top5 = 0;
  std::map<std::pair<int64_t, int64_t>, int64_t> confusion;  // (true class, best class) -> images
  std::vector<ItemError> errors;
};

Evaluation evaluate(const Classifier& classifier, const LabelledImages& images,
                    const RunOptions& options);

// true,predicted,count: one line a pair that occurs, with the labels. Written atomically.
void write_confusion_csv(const std::string& path, const Evaluation& evaluation,
                         const std::vector<std::string>& labels);

}  // namespace ocelli
