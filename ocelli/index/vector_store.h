// Half-precision rows on disk: append-only, memory-mapped, safe to kill at any moment.
//
// FOLDER/vectors.f16   4096 bytes: "OCELLIV1", u64 width; then the rows
// FOLDER/segments      32 bytes a commit: u64 first row, u64 rows, u64 crc32 of the rows, u64 crc32
//                      of the three
//
// A commit first makes the rows durable, then adds its segment; rows beyond the last whole segment
// do not exist. Numbers are little-endian.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "ocelli/base/mapped_file.h"
#include "ocelli/index/rows.h"

namespace ocelli {

struct Segment {
  int64_t first = 0, count = 0;
  uint32_t crc = 0;
};

// The rows that were committed when it was opened. Many may read while one writes.
class VectorStore {
 public:
  // Throws not_found, or corrupt_data naming the file.
  explicit VectorStore(const std::filesystem::path& folder);

  HalfRows rows() const { return rows_; }
  const std::vector<Segment>& segments() const { return segments_; }
  // Those whose rows are not what was written. Reads everything.
  std::vector<Segment> damaged() const;
  // The file that segments are in, for messages.
  const std::filesystem::path& file() const { return file_->path(); }

 private:
  std::unique_ptr<MappedFile> file_;
  std::vector<Segment> segments_;
  HalfRows rows_;
};

// Adds rows to a store, which is made when it is not there. The caller sees to it that there is
// one writer at a time.
class VectorWriter {
 public:
  VectorWriter(const std::filesystem::path& folder, int64_t width);
  ~VectorWriter();
  VectorWriter(const VectorWriter&) = delete;
  VectorWriter& operator=(const VectorWriter&) = delete;

  int64_t rows() const { return rows_; }  // committed and not
  // f32 [width]. Throws io when the disk is full; what was committed stays.
  void append(const float* row);
  void append(HalfRows rows);
  void commit();
  // Forgets all rows from `rows` on, which must end a segment.
  void truncate(int64_t rows);

 private:
  void load();
  void flush();
  void write(int fd, const void* data, size_t size, int64_t at);
  void sync(int fd);

  std::filesystem::path folder_;
  int64_t width_;
  int vectors_ = -1, segment_file_ = -1;
  std::vector<Segment> segments_;
  int64_t rows_ = 0, written_ = 0;
  uint32_t crc_ = 0;
  std::vector<Half> pending_;
};

}  // namespace ocelli
