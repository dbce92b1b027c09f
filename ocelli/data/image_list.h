// Labelled images and captioned images, as folders and tables keep them.
#pragma once

#include <string>
#include <variant>
#include <vector>

namespace ocelli {

// Images with the name of the class of each.
struct ClassImages {
  std::vector<std::string> paths;
  std::vector<int64_t> class_of;
  std::vector<std::string> classes;  // sorted
};

// Images with one or more captions each.
struct CaptionedImages {
  std::vector<std::string> paths;
  std::vector<std::string> captions;
  std::vector<int64_t> image_of;  // of each caption
};

using ImageList = std::variant<ClassImages, CaptionedImages>;

// Which columns of a table to take, by name or by position ("0" is the first); empty: those that
// are called as usual. A label is taken before a caption.
struct TableColumns {
  std::string image = {}, label = {}, caption = {};
};

// A folder has a sub-folder a class ('_' in its name stands for a space). A table (parse_csv) has
// a column with the image, called image, path, file, file_name or alike, and one with a caption
// (caption, text, title, comment, sentence, ...) or a label (label, class, category, target).
// Without such a header the first column is the image and the last a caption; Flickr's "#0" after
// the name of an image is dropped. Names of images are relative to the table, or to the folder
// images/ beside it. Throws not_found, corrupt_data, or invalid_argument when there are no
// images and for a column that the table has not.
ImageList read_image_list(const std::string& path, const TableColumns& columns = {});

// Images to learn from, and to test on or "". A folder with train/ and val/ (or test/) in it has
// both; `test` stands in place of the latter.
struct TrainAndTest {
  std::string train, test;
};
TrainAndTest train_and_test(const std::string& path, const std::string& test = {});

// The index among `labels` of each of the classes: the label of that name (ignoring case, '_' as
// space, any of a label's comma-separated synonyms), or the number that the name is (any number
// for models without label names). When none fits and there are as many classes as labels, their
// order (torchvision's ImageFolder). Throws invalid_argument naming a class that fits none.
std::vector<int64_t> match_classes(const ClassImages& images,
                                   const std::vector<std::string>& labels);

}  // namespace ocelli
