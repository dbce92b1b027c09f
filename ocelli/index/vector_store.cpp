#include "ocelli/index/vector_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/base/progress.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr int64_t kHeader = 4096;
constexpr char kVectorsMagic[] = "OCELLIV1";
constexpr int64_t kMaxWidth = 1 << 20;
constexpr size_t kPending = size_t{1} << 20;  // values kept before they are written

struct Record {
  uint64_t first, count, crc, check;
};
static_assert(sizeof(Record) == 32);

uint32_t crc_of(uint32_t start, const void* data, size_t size) {
  return static_cast<uint32_t>(crc32_z(start, static_cast<const Bytef*>(data), size));
}

uint64_t check_of(const Record& r) {
  return crc_of(0, &r, offsetof(Record, check));
}

fs::path vectors_file(const fs::path& folder) {
  return folder / "vectors.f16";
}
fs::path segments_file(const fs::path& folder) {
  return folder / "segments";
}

int64_t header_width(std::span<const std::byte> bytes, const fs::path& file) {
  uint64_t width = 0;
  if (bytes.size() >= kHeader) std::memcpy(&width, bytes.data() + 8, sizeof width);
  if (width == 0 || width > kMaxWidth || std::memcmp(bytes.data(), kVectorsMagic, 8) != 0) {
    fail(ErrorCode::corrupt_data, "{}: not a store of vectors (version 1)", file.string());
  }
  return static_cast<int64_t>(width);
}

// The whole segments, in order. A torn one at the end is what a killed writer leaves.
std::vector<Segment> read_segments(const fs::path& folder) {
  const std::string bytes = read_file(segments_file(folder));
  std::vector<Segment> segments;
  uint64_t next = 0;
  for (size_t at = 0; at + sizeof(Record) <= bytes.size(); at += sizeof(Record)) {
    Record record;
    std::memcpy(&record, bytes.data() + at, sizeof record);
    if (record.check != check_of(record)) {
      if (at + 2 * sizeof(Record) > bytes.size()) break;
      fail(ErrorCode::corrupt_data, "{}: the record of segment {} is damaged",
           segments_file(folder).string(), segments.size());
    }
    if (record.first != next || record.count == 0 || record.count > UINT32_MAX - next) {
      fail(ErrorCode::corrupt_data, "{}: segment {} does not follow the one before",
           segments_file(folder).string(), segments.size());
    }
    segments.push_back({static_cast<int64_t>(record.first), static_cast<int64_t>(record.count),
                        static_cast<uint32_t>(record.crc)});
    next += record.count;
  }
  return segments;
}

int64_t rows_in(const std::vector<Segment>& segments) {
  return segments.empty() ? 0 : segments.back().first + segments.back().count;
}

int open_file(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) {
    fail(ErrorCode::io, "{}: cannot be written: {}", path.string(), std::strerror(errno));
  }
  return fd;
}

}  // namespace

VectorStore::VectorStore(const fs::path& folder) : segments_(read_segments(folder)) {
  // After the segments: a writer may add rows meanwhile, never take away committed ones.
  file_ = std::make_unique<MappedFile>(vectors_file(folder));
  rows_.width = header_width(file_->bytes(), file_->path());
  rows_.count = rows_in(segments_);
  rows_.data = reinterpret_cast<const Half*>(file_->data() + kHeader);
  const int64_t there = (static_cast<int64_t>(file_->size()) - kHeader) / (2 * rows_.width);
  if (there < rows_.count) {
    fail(ErrorCode::corrupt_data, "{}: holds {} rows of the {} that were committed",
         file_->path().string(), there, rows_.count);
  }
}

std::vector<Segment> VectorStore::damaged() const {
  std::vector<Segment> wrong;
  for (const Segment& segment : segments_) {
    throw_if_cancelled();
    const auto size = static_cast<size_t>(2 * segment.count * rows_.width);
    if (crc_of(0, rows_.row(segment.first), size) != segment.crc) wrong.push_back(segment);
  }
  return wrong;
}

VectorWriter::VectorWriter(const fs::path& folder, int64_t width) : folder_(folder), width_(width) {
  check(width >= 1 && width <= kMaxWidth, "vectors: a row has {} numbers; 1 to {} are possible",
        width, kMaxWidth);
  std::error_code error;
  fs::create_directories(folder, error);
  try {
    vectors_ = open_file(vectors_file(folder));
    segment_file_ = open_file(segments_file(folder));
    load();
  } catch (...) {
    if (vectors_ >= 0) ::close(vectors_);
    if (segment_file_ >= 0) ::close(segment_file_);
    throw;
  }
}

VectorWriter::~VectorWriter() {
  ::close(vectors_);
  ::close(segment_file_);
}

// A store that was killed before its first commit is begun anew.
void VectorWriter::load() {
  segments_ = read_segments(folder_);
  if (segments_.empty()) {
    std::vector<char> header(kHeader);
    std::memcpy(header.data(), kVectorsMagic, 8);
    std::memcpy(header.data() + 8, &width_, sizeof width_);
    write(vectors_, header.data(), header.size(), 0);
  } else {
    const VectorStore store(folder_);
    if (store.rows().width != width_) {
      fail(ErrorCode::invalid_argument, "{}: its rows have {} numbers, not {}",
           vectors_file(folder_).string(), store.rows().width, width_);
    }
  }
  truncate(rows_in(segments_));
}

void VectorWriter::append(const float* row) {
  for (int64_t i = 0; i < width_; ++i) pending_.push_back(to_half(row[i]));
  ++rows_;
  if (pending_.size() >= kPending) flush();
}

void VectorWriter::append(HalfRows rows) {
  check(rows.width == width_, "vectors: rows of {} numbers cannot follow rows of {}", rows.width,
        width_);
  for (int64_t i = 0; i < rows.count; ++i) {
    pending_.insert(pending_.end(), rows.row(i), rows.row(i) + width_);
    ++rows_;
    if (pending_.size() >= kPending) flush();
  }
}

void VectorWriter::flush() {
  const size_t size = pending_.size() * sizeof(Half);
  write(vectors_, pending_.data(), size, kHeader + 2 * width_ * written_);
  crc_ = crc_of(crc_, pending_.data(), size);
  written_ = rows_;
  pending_.clear();
}

void VectorWriter::commit() {
  flush();
  const int64_t first = rows_in(segments_);
  if (rows_ == first) return;
  sync(vectors_);
  Record record{static_cast<uint64_t>(first), static_cast<uint64_t>(rows_ - first), crc_, 0};
  record.check = check_of(record);
  write(segment_file_, &record, sizeof record,
        static_cast<int64_t>(segments_.size() * sizeof record));
  sync(segment_file_);
  segments_.push_back({first, rows_ - first, crc_});
  crc_ = 0;
}

void VectorWriter::truncate(int64_t rows) {
  while (rows_in(segments_) > rows) segments_.pop_back();
  check(rows_in(segments_) == rows, "{}: row {} is inside a segment",
        vectors_file(folder_).string(), rows);
  // The segments first: rows without one do not exist.
  if (::ftruncate(segment_file_, static_cast<off_t>(segments_.size() * sizeof(Record))) != 0 ||
      ::ftruncate(vectors_, kHeader + 2 * width_ * rows) != 0) {
    fail(ErrorCode::io, "{}: cannot be cut: {}", folder_.string(), std::strerror(errno));
  }
  pending_.clear();
  rows_ = written_ = rows;
  crc_ = 0;
}

void VectorWriter::write(int fd, const void* data, size_t size, int64_t at) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = ::pwrite(fd, bytes, size, at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      fail(ErrorCode::io, "{}: cannot be written: {}", folder_.string(), std::strerror(errno));
    }
    bytes += count;
    size -= static_cast<size_t>(count);
    at += count;
  }
}

void VectorWriter::sync(int fd) {
  if (::fdatasync(fd) != 0) {
    fail(ErrorCode::io, "{}: cannot be written: {}", folder_.string(), std::strerror(errno));
  }
}

}  // namespace ocelli
