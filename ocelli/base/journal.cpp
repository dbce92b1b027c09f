#include "ocelli/base/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli {

Journal::Journal(std::filesystem::path file) : file_(std::move(file)) {
  fd_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(ErrorCode::io, "{}: {}", file_.string(), std::strerror(errno));
  const std::string text = read_file(file_, size_t{1} << 34);
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    lines_.push_back(text.substr(begin, end - begin));
  }
  truncate(begin);
}

void Journal::truncate(size_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
    fail(ErrorCode::io, "{}: {}", file_.string(), std::strerror(errno));
  }
}

void Journal::keep(size_t count) {
  if (count >= lines_.size()) return;
  lines_.resize(count);
  size_t size = 0;
  for (const std::string& line : lines_) size += line.size() + 1;
  truncate(size);
}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

void Journal::append(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t count = ::write(fd_, lines.data(), lines.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(ErrorCode::io, "{}: {}", file_.string(), std::strerror(errno));
    lines.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace ocelli
