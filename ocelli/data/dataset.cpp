#include "ocelli/data/dataset.h"

#include <cstring>
#include <filesystem>
#include <iostream>

#include "ocelli/base/file.h"
#include "ocelli/data/inputs.h"
#include "ocelli/data/random.h"
#include "ocelli/data/shards.h"
#include "ocelli/formats/image_records.h"
#include "ocelli/formats/tar.h"
#include "ocelli/text/files.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

// The images of a class folder or a table: a file, its class or its caption.
class ListedImages : public Dataset {
 public:
  explicit ListedImages(ClassImages images)
      : paths_(std::move(images.paths)),
        labels_(std::move(images.class_of)),
        classes_(std::move(images.classes)) {}

  // A sample a caption.
  explicit ListedImages(CaptionedImages images) : captions_(std::move(images.captions)) {
    for (const int64_t image : images.image_of) paths_.push_back(images.paths[image]);
  }

  std::optional<int64_t> size() const override { return std::ssize(paths_); }
  std::string id(int64_t index) const override { return paths_[index]; }
  std::vector<int64_t> labels() const override { return labels_; }
  std::vector<std::string> captions() const override { return captions_; }
  const std::vector<std::string>& classes() const override { return classes_; }

  Sample get(int64_t index) const override {
    Sample sample{decode_input(paths_[index]), -1, {}};
    if (!labels_.empty()) sample.label = labels_[index];
    if (!captions_.empty()) sample.caption = captions_[index];
    return sample;
  }

 private:
  std::vector<std::string> paths_;
  std::vector<int64_t> labels_;
  std::vector<std::string> captions_, classes_;
};

std::unique_ptr<Dataset> open_list(const std::string& path, const DatasetOptions& options) {
  ImageList list = read_image_list(path, options.columns);
  if (auto* images = std::get_if<ClassImages>(&list)) {
    check(options.target != Target::caption,
          "{}: has labels but no captions; give a table with a column of captions, or shards "
          "with .txt",
          path);
    return std::make_unique<ListedImages>(std::move(*images));
  }
  auto& images = std::get<CaptionedImages>(list);
  check(options.target != Target::label,
        "{}: has captions but no labels; give a folder with a sub-folder a class, or a table with "
        "a column of labels",
        path);
  for (size_t i = 0; i < images.captions.size(); ++i) {
    if (!images.captions[i].empty()) continue;
    fail(ErrorCode::corrupt_data, "{}: the caption of {} is missing", path,
         images.paths[images.image_of[i]]);
  }
  return std::make_unique<ListedImages>(std::move(images));
}

// The images of CIFAR's and MNIST's files.
class RecordImages : public Dataset {
 public:
  RecordImages(ImageRecords records, std::string name, std::vector<std::string> classes)
      : records_(std::move(records)), name_(std::move(name)), classes_(std::move(classes)) {
    for (int64_t i = std::ssize(classes_); i < records_.num_classes; ++i) {
      classes_.push_back(std::to_string(i));
    }
  }

  std::optional<int64_t> size() const override { return std::ssize(records_.labels); }
  std::string id(int64_t index) const override { return fmt::format("{}[{}]", name_, index); }
  std::vector<int64_t> labels() const override { return records_.labels; }
  const std::vector<std::string>& classes() const override { return classes_; }

  Sample get(int64_t index) const override {
    Sample sample{{Tensor::empty({records_.height, records_.width, 3}, DType::u8), "records"},
                  records_.labels[index],
                  {}};
    records_.copy_image(index, sample.image.pixels.data<uint8_t>());
    return sample;
  }

 private:
  ImageRecords records_;
  std::string name_;
  std::vector<std::string> classes_;
};

// The names of the classes as the archives of CIFAR have them beside the images.
std::vector<std::string> cifar_classes(const fs::path& folder) {
  for (const char* name : {"batches.meta.txt", "fine_label_names.txt"}) {
    if (fs::is_regular_file(folder / name)) return read_lines((folder / name).string(), true);
  }
  return {};
}

std::unique_ptr<Dataset> open_cifar(const std::vector<std::string>& files) {
  std::string bytes;
  for (const std::string& file : files) bytes += read_file(file);
  ImageRecords records = parse_cifar(std::move(bytes), files.front());
  return std::make_unique<RecordImages>(std::move(records), files.front(),
                                        cifar_classes(fs::path(files.front()).parent_path()));
}

// The training files in a folder of CIFAR-10 or CIFAR-100; nothing in other folders.
std::vector<std::string> cifar_files(const fs::path& folder) {
  if (fs::is_regular_file(folder / "train.bin")) return {(folder / "train.bin").string()};
  std::vector<std::string> files;
  for (int i = 1; fs::is_regular_file(folder / fmt::format("data_batch_{}.bin", i)); ++i) {
    files.push_back((folder / fmt::format("data_batch_{}.bin", i)).string());
  }
  return files;
}

std::string read_maybe_gzip(const std::string& path) {
  return path.ends_with(".gz") ? read_gzip(path, size_t{1} << 30) : read_file(path);
}

// "train-images-idx3-ubyte" has its labels in "train-labels-idx1-ubyte".
std::unique_ptr<Dataset> open_idx(const std::string& path) {
  fs::path labels = path;
  std::string name = labels.filename().string();
  for (const auto& [from, to] : {std::pair("images", "labels"), std::pair("idx3", "idx1")}) {
    if (const size_t at = name.find(from); at != name.npos) name.replace(at, std::strlen(from), to);
  }
  labels.replace_filename(name);
  ImageRecords records = parse_idx(read_maybe_gzip(path), read_maybe_gzip(labels.string()), path);
  return std::make_unique<RecordImages>(std::move(records), path, std::vector<std::string>{});
}

std::unique_ptr<Dataset> open_records(const std::string& path, const std::string& first) {
  if (fs::is_directory(path)) {
    const auto files = cifar_files(path);
    return files.empty() ? nullptr : open_cifar(files);
  }
  if (first.ends_with(".bin")) return open_cifar(expand_names(path));
  if (fs::path(first).filename().string().find("idx3-ubyte") != std::string::npos) {
    return open_idx(first);
  }
  return nullptr;
}

}  // namespace

Order Dataset::order(const Sampling& sampling, int64_t epoch) const {
  return epoch_order(sampling, *size(), epoch);
}

int64_t Dataset::substitute(int64_t, Rng& rng) const {
  return random_index(rng, *size());
}

std::unique_ptr<Dataset> open_dataset(const std::string& path, const DatasetOptions& options) {
  const std::vector<std::string> names = expand_names(path);
  if (has_tar_extension(names.front())) return std::make_unique<Shards>(names, options.target);
  if (auto records = open_records(path, names.front())) {
    check(options.target != Target::caption, "{}: has labels but no captions", path);
    return records;
  }
  return open_list(path, options);
}

std::unique_ptr<Dataset> open_unlabelled(const std::string& path) {
  if (!fs::is_directory(path) || !cifar_files(path).empty()) return open_dataset(path);
  ClassImages images;
  images.paths = list_images({&path, 1}, std::cin);
  return std::make_unique<ListedImages>(std::move(images));
}

}  // namespace ocelli
