#include "ocelli/train/checkpoints.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-", kTemporary = ".tmp-";

void flush(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool good = fd >= 0 && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!good) fail(ErrorCode::io, "{}: {}", path.string(), std::strerror(error));
}

void flush_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) flush(entry.path());
  flush(folder);
}

// Removes the folder unless told that it is wanted.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) { fs::create_directories(path_); }
  ~Temporary() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  const fs::path& path() const { return path_; }
  void rename_to(const fs::path& name) {
    fs::rename(path_, name);
    path_.clear();
  }

 private:
  fs::path path_;
};

}  // namespace

Checkpoints::Checkpoints(fs::path folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {
  check(keep_ >= 1, "checkpoints: {} cannot be kept; 1 is the least", keep_);
  fs::create_directories(folder_);
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().starts_with(kTemporary)) left.push_back(entry.path());
  }
  for (const fs::path& path : left) fs::remove_all(path);
}

void Checkpoints::save(int64_t step, bool best,
                       const std::function<void(const fs::path& folder)>& write) {
  const std::string name = fmt::format("{}{:08}", kPrefix, step);
  Temporary temporary(folder_ / fmt::format("{}{}", kTemporary, name));
  write(temporary.path());
  flush_tree(temporary.path());
  if (fs::exists(folder_ / name)) remove(name);  // it was killed before `last` named it
  temporary.rename_to(folder_ / name);
  flush(folder_);
  write_file(folder_ / "last", name + "\n");
  if (best) mark_best(folder_ / name);
  const auto kept_best = this->best();
  const auto all = names();
  for (int64_t i = 0; i + keep_ < static_cast<int64_t>(all.size()); ++i) {
    const std::string& old = all[static_cast<size_t>(i)];
    if (old != name && (!kept_best || old != kept_best->filename())) remove(old);
  }
}

void Checkpoints::mark_best(const fs::path& checkpoint) {
  write_file(folder_ / "best", checkpoint.filename().string() + "\n");
}

std::optional<fs::path> Checkpoints::pointed(const std::string& pointer) const {
  if (!fs::exists(folder_ / pointer)) return std::nullopt;
  std::string name = read_file(folder_ / pointer, 1 << 10);
  if (name.ends_with('\n')) name.pop_back();
  if (!name.starts_with(kPrefix) || name.find('/') != name.npos || !fs::exists(folder_ / name)) {
    fail(ErrorCode::corrupt_data, "{}: names '{}', which is no checkpoint",
         (folder_ / pointer).string(), name);
  }
  return folder_ / name;
}

std::vector<std::string> Checkpoints::names() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// The name goes first, so that a kill leaves no half of a checkpoint under it.
void Checkpoints::remove(const std::string& name) const {
  const fs::path doomed = folder_ / fmt::format("{}old-{}", kTemporary, name);
  fs::remove_all(doomed);
  fs::rename(folder_ / name, doomed);
  fs::remove_all(doomed);
}

}  // namespace ocelli
