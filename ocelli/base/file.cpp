#include "ocelli/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ocelli/base/error.h"

namespace ocelli {

std::string read_file(const std::filesystem::path& path, size_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io, "{}: {}", path.string(),
         std::strerror(errno));
  }
  std::string contents;
  struct stat status {};
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
      static_cast<size_t>(status.st_size) <= limit) {
    contents.reserve(static_cast<size_t>(status.st_size));
  }
  char buffer[65536];
  ssize_t count = 0;
  while ((count = ::read(fd, buffer, sizeof buffer)) > 0) {
    if (contents.size() + static_cast<size_t>(count) > limit) {
      ::close(fd);
      fail(ErrorCode::corrupt_data, "{}: larger than the limit of {} bytes", path.string(), limit);
    }
    contents.append(buffer, static_cast<size_t>(count));
  }
  const int error = errno;
  ::close(fd);
  if (count < 0) fail(ErrorCode::io, "{}: {}", path.string(), std::strerror(error));
  return contents;
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  static std::atomic<int> serial{0};
  temporary_ = path;
  temporary_ += fmt::format(".tmp-{}-{}", ::getpid(), serial++);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(ErrorCode::io, "{}: cannot be written: {}", path.string(), std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail(ErrorCode::io, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(size_t position, std::string_view text) {
  if (::lseek(fd_, static_cast<off_t>(position), SEEK_SET) < 0) {
    fail(ErrorCode::io, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
  }
  write(text);
  ::lseek(fd_, 0, SEEK_END);
}

void AtomicFile::commit() {
  const bool written = ::fsync(fd_) == 0;
  const bool closed = ::close(std::exchange(fd_, -1)) == 0;
  if (!written || !closed || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    fail(ErrorCode::io, "{}: cannot be written: {}", path_.string(), std::strerror(error));
  }
}

void write_file(const std::filesystem::path& path, std::string_view contents) {
  AtomicFile file(path);
  file.write(contents);
  file.commit();
}

}  // namespace ocelli
