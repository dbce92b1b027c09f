#include "ocelli/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"

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
  while ((count = ::read(fd, buffer, sizeof buffer)) > 0 || (count < 0 && errno == EINTR)) {
    if (count < 0 && cancel_requested()) break;
    count = std::max<ssize_t>(count, 0);
    if (contents.size() + static_cast<size_t>(count) > limit) {
      ::close(fd);
      fail(ErrorCode::corrupt_data, "{}: larger than the limit of {} bytes", path.string(), limit);
    }
    contents.append(buffer, static_cast<size_t>(count));
  }
  const int error = errno;
  ::close(fd);
  throw_if_cancelled();
  if (count < 0) fail(ErrorCode::io, "{}: {}", path.string(), std::strerror(error));
  return contents;
}

namespace {

std::string own_link(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  std::error_code ignored;
  if (std::filesystem::is_symlink(path, ignored)) {
    const auto target = std::filesystem::canonical(path, ignored);
    if (!ignored) path_ = target;
  }
  const auto status = std::filesystem::status(path_, ignored);
  if (std::filesystem::is_directory(status)) fail_with(EISDIR);
  direct_ = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  if (direct_) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail_with(errno);
  } else {
    open_replacement();
  }
}

void AtomicFile::open_replacement() {
  static std::atomic<int> serial{0};
  temporary_ = path_;
  temporary_ += fmt::format(".tmp-{}-{}", ::getpid(), serial++);
  const auto parent = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  fd_ = ::open(parent.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
  // It gets its name through /proc later.
  if (fd_ >= 0 && ::access(own_link(fd_).c_str(), F_OK) != 0) ::close(std::exchange(fd_, -1));
  if (fd_ >= 0) return;
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_with(errno);
  named_ = true;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (named_) ::unlink(temporary_.c_str());
}

void AtomicFile::fail_with(int error) const {
  fail(ErrorCode::io, "{}: cannot be written: {}", path_.string(), std::strerror(error));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_with(errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void AtomicFile::write_at(size_t position, std::string_view text) {
  if (::lseek(fd_, static_cast<off_t>(position), SEEK_SET) < 0) fail_with(errno);
  write(text);
  ::lseek(fd_, 0, SEEK_END);
}

void AtomicFile::commit() {
  if (direct_) {
    if (::close(std::exchange(fd_, -1)) != 0) fail_with(errno);
    return;
  }
  if (::fsync(fd_) != 0) fail_with(errno);
  if (!named_) {
    // A hard link cannot replace a file, so it takes the temporary name first.
    const int status =
        ::linkat(AT_FDCWD, own_link(fd_).c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW);
    if (status != 0) fail_with(errno);
    named_ = true;
  }
  if (::close(std::exchange(fd_, -1)) != 0) fail_with(errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with(errno);
  named_ = false;
}

std::filesystem::path whole_path(const std::filesystem::path& path) {
  std::string text = std::filesystem::absolute(path).lexically_normal().string();
  if (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

void write_file(const std::filesystem::path& path, std::string_view contents) {
  AtomicFile file(path);
  file.write(contents);
  file.commit();
}

}  // namespace ocelli
