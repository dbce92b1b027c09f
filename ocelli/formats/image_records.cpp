#include "ocelli/formats/image_records.h"

#include <algorithm>
#include <string_view>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

constexpr size_t kCifarPixels = size_t{32} * 32 * 3;
constexpr size_t kIdxHeader = 4;  // then four bytes a dimension

// A record: `labels` bytes, the last of which counts, then the pixels.
struct CifarLayout {
  size_t labels;
  int64_t classes;

  size_t size() const { return labels + kCifarPixels; }
  bool fits(std::string_view file) const {
    if (file.empty() || file.size() % size() != 0) return false;
    for (size_t at = labels - 1; at < file.size(); at += size()) {
      if (static_cast<uint8_t>(file[at]) >= classes) return false;
    }
    return true;
  }
};

constexpr CifarLayout kLayouts[] = {{1, 10}, {2, 100}};

// The sizes of an IDX file of bytes, after its four bytes of magic: 0, 0, 8, their number.
std::vector<int64_t> idx_sizes(std::string_view file, size_t rank, const std::string& name) {
  const std::string magic = {0, 0, 8, static_cast<char>(rank)};
  const size_t header = kIdxHeader + 4 * rank;
  if (file.size() < header || file.substr(0, 4) != magic) {
    fail(ErrorCode::corrupt_data, "{}: is no IDX file of bytes with {} dimension{}", name, rank,
         rank == 1 ? "" : "s");
  }
  std::vector<int64_t> sizes;
  int64_t expected = 1;
  for (size_t i = kIdxHeader; i < header; i += 4) {
    int64_t size = 0;
    for (size_t k = 0; k < 4; ++k) size = size << 8 | static_cast<uint8_t>(file[i + k]);
    sizes.push_back(size);
    if (__builtin_mul_overflow(expected, size, &expected)) expected = -1;
  }
  if (expected <= 0 || static_cast<uint64_t>(expected) != file.size() - header) {
    fail(ErrorCode::corrupt_data, "{}: the header does not fit the {} bytes of the file", name,
         file.size());
  }
  return sizes;
}

}  // namespace

void ImageRecords::copy_image(int64_t index, uint8_t* rgb) const {
  const char* planes = bytes.data() + first + static_cast<size_t>(index) * stride;
  const auto pixels = static_cast<size_t>(height * width);
  for (size_t i = 0; i < pixels; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      rgb[3 * i + c] = static_cast<uint8_t>(planes[i + (channels == 3 ? c * pixels : 0)]);
    }
  }
}

ImageRecords parse_cifar(std::string bytes, const std::string& name) {
  const auto* layout = std::ranges::find_if(kLayouts, [&](const auto& l) { return l.fits(bytes); });
  if (layout == std::end(kLayouts)) {
    fail(ErrorCode::corrupt_data,
         "{}: is no CIFAR file: records of 3073 bytes with a label below 10, or of 3074 bytes with "
         "a second label below 100, are needed",
         name);
  }
  ImageRecords records{.height = 32, .width = 32, .channels = 3, .bytes = std::move(bytes)};
  records.first = layout->labels;
  records.stride = layout->size();
  records.num_classes = layout->classes;
  for (size_t at = layout->labels - 1; at < records.bytes.size(); at += layout->size()) {
    records.labels.push_back(static_cast<uint8_t>(records.bytes[at]));
  }
  return records;
}

ImageRecords parse_idx(std::string images, const std::string& labels, const std::string& name) {
  const auto sizes = idx_sizes(images, 3, name);
  const auto count = idx_sizes(labels, 1, name + " (its labels)")[0];
  if (count != sizes[0]) {
    fail(ErrorCode::corrupt_data, "{}: {} images, but {} labels", name, sizes[0], count);
  }
  ImageRecords records{
      .height = sizes[1], .width = sizes[2], .channels = 1, .bytes = std::move(images)};
  records.first = kIdxHeader + 4 * 3;
  records.stride = static_cast<size_t>(sizes[1] * sizes[2]);
  for (const char label : labels.substr(kIdxHeader + 4)) {
    records.labels.push_back(static_cast<uint8_t>(label));
    records.num_classes = std::max(records.num_classes, records.labels.back() + 1);
  }
  return records;
}

}  // namespace ocelli
