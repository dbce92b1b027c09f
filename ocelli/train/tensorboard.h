// Scalars for TensorBoard: a file of Event messages (tensorboard/compat/proto/event.proto) in the
// framing of TFRecord.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "ocelli/train/metrics.h"

namespace ocelli {

class TensorBoardFile {
 public:
  // Begins a new file in `folder`, named by time and host. What older files of the folder hold
  // from `first_step` on is not shown any more.
  TensorBoardFile(const std::filesystem::path& folder, int64_t first_step);
  ~TensorBoardFile();
  TensorBoardFile(const TensorBoardFile&) = delete;
  TensorBoardFile& operator=(const TensorBoardFile&) = delete;

  // Throws io naming the file.
  void append(int64_t step, std::span<const Metric> values);

 private:
  explicit TensorBoardFile(std::filesystem::path file);
  void write(std::string_view event);

  std::filesystem::path file_;
  int fd_ = -1;
};

// Length (8 bytes, little endian), its masked checksum, the data, its masked checksum.
std::string tfrecord(std::string_view data);
// CRC-32C (Castagnoli), RFC 3720 B.4.
uint32_t crc32c(std::string_view data);

}  // namespace ocelli
