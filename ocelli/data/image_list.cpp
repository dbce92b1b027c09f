#include "ocelli/data/image_list.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <span>

#include "ocelli/base/error.h"
#include "ocelli/data/inputs.h"
#include "ocelli/formats/csv.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

// In lower case, '_' as space, without blanks around.
std::string folded(std::string_view name) {
  std::string text;
  for (const char c : name) {
    text += c == '_' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

ClassImages read_class_folders(const std::string& root) {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(root)) {
    const bool hidden = entry.path().filename().string().starts_with('.');
    if (entry.is_directory() && !hidden) folders.push_back(entry.path());
  }
  std::ranges::sort(folders);
  check(!folders.empty(), "{}: has no sub-folders; evaluation wants one a class, or a table", root);
  ClassImages images;
  for (const fs::path& path : folders) {
    const std::string folder = path.string();
    for (std::string& image : list_images({&folder, 1}, std::cin)) {
      images.paths.push_back(std::move(image));
      images.class_of.push_back(static_cast<int64_t>(images.classes.size()));
    }
    images.classes.push_back(path.filename().string());
    std::ranges::replace(images.classes.back(), '_', ' ');
  }
  return images;
}

// Where the columns of a table stand.
struct Places {
  size_t image = 0, value = 0;
  bool labels = false, header = false;
};

std::optional<size_t> find_column(const CsvRow& header, std::span<const std::string_view> names) {
  for (const std::string_view name : names) {
    const auto found = std::ranges::find(header, name, folded);
    if (found != header.end()) return static_cast<size_t>(found - header.begin());
  }
  return std::nullopt;
}

// By the usual names; without them the first column is the image, the last a caption.
Places usual_places(const CsvRow& first) {
  static constexpr std::string_view kImages[] = {
      "image",    "image path", "image file", "image name", "file",     "file name", "filename",
      "filepath", "file path",  "path",       "img",        "img path", "image id"};
  static constexpr std::string_view kCaptions[] = {"caption", "captions", "text",     "title",
                                                   "comment", "sentence", "sentences"};
  static constexpr std::string_view kLabels[] = {"label", "labels", "class", "category", "target"};
  Places places{.image = 0, .value = first.size() - 1};
  const auto image = find_column(first, kImages);
  const auto caption = find_column(first, kCaptions), label = find_column(first, kLabels);
  if (!image || (!caption && !label)) return places;
  return {*image, caption ? *caption : *label, !caption, true};
}

// The column that is called so or, counted from 0, stands there.
size_t column_of(const std::string& wanted, const CsvRow& first, const std::string& path,
                 bool* by_name) {
  const std::string_view name = wanted;
  if (const auto found = find_column(first, {&name, 1})) {
    *by_name = true;
    return *found;
  }
  size_t place = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), place);
  check(error == std::errc() && end == name.data() + name.size() && place < first.size(),
        "{}: has no column '{}'; its first line is: {}", path, wanted, fmt::join(first, ", "));
  return place;
}

Places places_of(const TableColumns& columns, const CsvRow& first, const std::string& path) {
  Places places = usual_places(first);
  if (!columns.image.empty()) {
    places.image = column_of(columns.image, first, path, &places.header);
  }
  places.labels = !columns.label.empty() || (places.labels && columns.caption.empty());
  const std::string& value = columns.label.empty() ? columns.caption : columns.label;
  if (!value.empty()) places.value = column_of(value, first, path, &places.header);
  return places;
}

// Names of images to files, each looked for once.
class ImageFiles {
 public:
  explicit ImageFiles(const fs::path& table) : folder_(table.parent_path()) {}

  // The index of the image among paths().
  int64_t operator()(const std::string& name) {
    const auto known = by_name_.find(name);
    if (known != by_name_.end()) return known->second;
    const std::string path = find(name);
    const auto [entry, fresh] = by_path_.emplace(path, static_cast<int64_t>(paths_.size()));
    if (fresh) paths_.push_back(path);
    return by_name_[name] = entry->second;
  }
  std::vector<std::string> take_paths() { return std::move(paths_); }

 private:
  std::string find(const std::string& name) const {
    const size_t hash = name.rfind('#');
    const std::string bare = hash == name.npos ? name : name.substr(0, hash);
    std::error_code ignored;
    for (const fs::path& path :
         {folder_ / name, folder_ / "images" / name, folder_ / bare, folder_ / "images" / bare}) {
      if (fs::is_regular_file(path, ignored)) return path.string();
    }
    return (folder_ / name).string();
  }

  fs::path folder_;
  std::map<std::string, int64_t> by_name_, by_path_;
  std::vector<std::string> paths_;
};

ClassImages with_classes(std::vector<std::string> paths, const std::vector<std::string>& names) {
  ClassImages images;
  images.paths = std::move(paths);
  images.classes = names;
  std::ranges::sort(images.classes);
  images.classes.erase(std::unique(images.classes.begin(), images.classes.end()),
                       images.classes.end());
  for (const std::string& name : names) {
    images.class_of.push_back(std::ranges::lower_bound(images.classes, name) -
                              images.classes.begin());
  }
  return images;
}

ImageList read_table(const std::string& path, const TableColumns& wanted) {
  const auto rows = read_csv(path);
  check(!rows.empty(), "{}: the table is empty", path);
  const Places columns = places_of(wanted, rows[0], path);
  ImageFiles files(path);
  std::vector<std::string> values;
  std::vector<int64_t> images;
  for (size_t i = columns.header; i < rows.size(); ++i) {
    if (rows[i].size() <= std::max(columns.image, columns.value) || rows[i].size() < 2) {
      fail(ErrorCode::corrupt_data, "{}: row {} has {} field{}, too few for an image and its {}",
           path, i + 1, rows[i].size(), rows[i].size() == 1 ? "" : "s",
           columns.labels ? "label" : "caption");
    }
    images.push_back(files(rows[i][columns.image]));
    values.push_back(rows[i][columns.value]);
  }
  check(!values.empty(), "{}: the table has no rows below its header", path);
  std::vector<std::string> paths = files.take_paths();
  if (!columns.labels) return CaptionedImages{std::move(paths), std::move(values), images};
  // An image may stand in several rows here, too.
  std::vector<std::string> each;
  for (const int64_t image : images) each.push_back(paths[image]);
  return with_classes(std::move(each), values);
}

// Every name and synonym of the labels; full names come before synonyms.
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

std::optional<int64_t> as_index(const std::string& name, const std::vector<std::string>& labels) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  if (name.empty() || name.size() > 9 || !std::ranges::all_of(name, is_digit)) return std::nullopt;
  const int64_t index = std::stoll(name);
  if (!labels.empty() && index >= static_cast<int64_t>(labels.size())) return std::nullopt;
  return index;
}

}  // namespace

ImageList read_image_list(const std::string& path, const TableColumns& columns) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return read_class_folders(path);
  return read_table(path, columns);
}

TrainAndTest train_and_test(const std::string& path, const std::string& test) {
  const fs::path train = fs::path(path) / "train";
  if (!fs::is_directory(train)) return {path, test};
  for (const char* name : {"val", "test"}) {
    const fs::path other = fs::path(path) / name;
    if (fs::is_directory(other)) return {train.string(), test.empty() ? other.string() : test};
  }
  return {path, test};
}

std::vector<int64_t> match_classes(const ClassImages& images,
                                   const std::vector<std::string>& labels) {
  const auto by_name = classes_by_name(labels);
  std::vector<int64_t> indices;
  const std::string* odd = nullptr;
  for (const std::string& name : images.classes) {
    const auto found = by_name.find(folded(name));
    if (found != by_name.end()) {
      indices.push_back(found->second);
    } else if (const auto index = as_index(name, labels)) {
      indices.push_back(*index);
    } else if (!odd) {
      odd = &name;
    }
  }
  if (!odd) return indices;
  check(!labels.empty(), "the class '{}' is no index, and the model has no names for its classes",
        *odd);
  check(indices.empty() && images.classes.size() == labels.size(),
        "the class '{}' is none of the model's {} (neither a label nor an index)", *odd,
        labels.size());
  indices.resize(labels.size());
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

}  // namespace ocelli
