// Small images of one size, with labels, as CIFAR and MNIST are published.
// https://www.cs.toronto.edu/~kriz/cifar.html (the binary versions),
// http://yann.lecun.com/exdb/mnist
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ocelli {

struct ImageRecords {
  int64_t height = 0, width = 0, channels = 0;  // 3: red, green and blue planes; 1: grey
  std::string bytes = {};                       // of the file
  size_t first = 0, stride = 0;                 // where the first image stands, and the next
  std::vector<int64_t> labels = {};             // of each image
  int64_t num_classes = 0;

  // RGB, interleaved, into height * width * 3 bytes.
  void copy_image(int64_t index, uint8_t* rgb) const;
};

// A file of CIFAR-10 (1 + 3072 bytes a record) or CIFAR-100 (2 + 3072; the fine label is taken), or
// several, one after the other. Throws corrupt_data naming the file for a size and labels that are
// neither's.
ImageRecords parse_cifar(std::string bytes, const std::string& name);

// An IDX file of images (unsigned bytes, [n, height, width]) and one of labels ([n]). Throws
// corrupt_data when they are none, or do not hold the same number.
ImageRecords parse_idx(std::string images, const std::string& labels, const std::string& name);

}  // namespace ocelli
