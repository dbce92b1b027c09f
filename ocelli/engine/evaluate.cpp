#include "ocelli/engine/evaluate.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "ocelli/base/file.h"
#include "ocelli/engine/inputs.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

std::string folded(std::string_view name) {
  std::string text;
  for (const char c : name)
    text += c == '_' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::vector<fs::path> class_folders(const std::string& root) {
  if (!fs::is_directory(root)) fail(ErrorCode::not_found, "{}: no such folder", root);
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::ranges::sort(folders);
  check(!folders.empty(), "{}: has no sub-folders; evaluation wants one a class", root);
  return folders;
}

std::map<std::string, int64_t> classes_by_name(const std::vector<std::string>& labels) {
  std::map<std::string, int64_t> classes;
  for (size_t i = 0; i < labels.size(); ++i) classes.emplace(folded(labels[i]), i);
  for (size_t i = 0; i < labels.size(); ++i) {
    for (size_t begin = 0; begin <= labels[i].size();) {
      const size_t end = std::min(labels[i].find(',', begin), labels[i].size());
      classes.emplace(folded(std::string_view(labels[i]).substr(begin, end - begin)), i);
      begin = end + 1;
    }
  }
  return classes;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

LabelledImages read_class_folders(const std::string& root, const std::vector<std::string>& labels) {
  const auto folders = class_folders(root);
  const auto classes = classes_by_name(labels);
  LabelledImages images;
  for (size_t i = 0; i < folders.size(); ++i) {
    const std::string name = folders[i].filename().string();
    const bool digits = !name.empty() && name.size() < 10 &&
                        std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c); });
    int64_t label = -1;
    if (const auto found = classes.find(folded(name)); found != classes.end()) {
      label = found->second;
    } else if (digits &&
               (labels.empty() || std::stoll(name) < static_cast<int64_t>(labels.size()))) {
      label = std::stoll(name);
    } else if (folders.size() == labels.size()) {
      label = static_cast<int64_t>(i);
    } else {
      fail(ErrorCode::invalid_argument,
           "{}: the folder '{}' is none of the {} classes (a label or an index)", root, name,
           labels.size());
    }
    const std::string folder = folders[i].string();
    for (std::string& path : list_images({&folder, 1}, std::cin)) {
      images.paths.push_back(std::move(path));
      images.labels.push_back(label);
    }
  }
  return images;
}

std::vector<std::string> class_folder_labels(const std::string& root) {
  std::vector<std::string> labels;
  for (const fs::path& folder : class_folders(root)) {
    labels.push_back(folder.filename().string());
    std::ranges::replace(labels.back(), '_', ' ');
  }
  return labels;
}

Evaluation evaluate(const Classifier& classifier, const LabelledImages& images,
                    const RunOptions& options) {
  Evaluation result;
  result.errors = run_images(
      classifier.model().model->image_processor(), images.paths, classifier,
      [&](int64_t index, const Tensor& row) {
        const auto best = top_k(row, classifier.labels(), 5);
        const int64_t label = images.labels[index];
        ++result.count;
        result.top1 += best[0].index == label;
        result.top5 +=
            std::ranges::any_of(best, [&](const Prediction& p) { return p.index == label; });
        ++result.confusion[{label, best[0].index}];
      },
      options);
  return result;
}

void write_confusion_csv(const std::string& path, const Evaluation& evaluation,
                         const std::vector<std::string>& labels) {
  const auto name = [&](int64_t i) {
    return csv_field(i < static_cast<int64_t>(labels.size()) ? labels[i] : std::to_string(i));
  };
  std::string csv = "true,predicted,count\n";
  for (const auto& [pair, count] : evaluation.confusion)
    csv += fmt::format("{},{},{}\n", name(pair.first), name(pair.second), count);
  write_file(path, csv);
}

}  // namespace ocelli
