#include "ocelli/formats/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <tuple>

namespace ocelli {
namespace fs = std::filesystem;

namespace {

constexpr size_t kBlock = 64 << 10;
constexpr size_t kRecentBytes = size_t{64} << 20;  // of members that were passed
constexpr size_t kArchives = 32;                   // that are kept open

}  // namespace

// A libarchive reader of the file from a place on.
struct TarArchive::Reader {
  Reader(const fs::path& path, int64_t from, bool filters) : name(path.string()) {
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io, "{}: {}", name,
           std::strerror(errno));
    }
    handle = archive_read_new();
    archive_read_support_format_tar(handle);
    if (filters) {
      archive_read_support_filter_gzip(handle);
      archive_read_support_filter_bzip2(handle);
      archive_read_support_filter_xz(handle);
      archive_read_support_filter_zstd(handle);
    }
    if (::lseek(fd, from, SEEK_SET) < 0 || archive_read_open_fd(handle, fd, kBlock) != ARCHIVE_OK) {
      const std::string why = message();
      close();
      fail(ErrorCode::corrupt_data, "{}: is no tar archive: {}", name, why);
    }
  }
  ~Reader() { close(); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The next regular file; nothing at the end. Throws corrupt_data.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    for (;;) {
      const int status = archive_read_next_header(handle, &entry);
      if (status == ARCHIVE_EOF) return nullptr;
      if (status < ARCHIVE_WARN) fail_damaged();
      if (archive_entry_filetype(entry) == AE_IFREG) return entry;
    }
  }

  std::string read(int64_t size) const {
    std::string bytes;
    std::array<char, kBlock> buffer;
    la_ssize_t count = 0;
    while ((count = archive_read_data(handle, buffer.data(), buffer.size())) > 0) {
      bytes.append(buffer.data(), static_cast<size_t>(count));
    }
    if (count < 0 || static_cast<int64_t>(bytes.size()) != size) fail_damaged();
    return bytes;
  }

  [[noreturn]] void fail_damaged() const {
    fail(ErrorCode::corrupt_data, "{}: the archive is cut off or damaged: {}", name, message());
  }

  std::string message() const {
    const char* text = archive_error_string(handle);
    return text ? text : "no reason is known";
  }

  void close() {
    archive_read_free(handle);
    handle = nullptr;
    if (fd >= 0) ::close(fd);
    fd = -1;
  }

  std::string name;
  int fd = -1;
  archive* handle = nullptr;
};

bool has_tar_extension(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const char* end : {".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"}) {
    if (name.size() > std::strlen(end) && name.ends_with(end)) return true;
  }
  return false;
}

std::optional<std::pair<std::string, std::string>> split_tar_path(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != path.npos; slash = path.find('/', slash + 1)) {
    const std::string archive = path.substr(0, slash);
    std::error_code ignored;
    if (has_tar_extension(archive) && fs::is_regular_file(archive, ignored)) {
      return std::pair(archive, path.substr(slash + 1));
    }
  }
  return std::nullopt;
}

TarArchive::TarArchive(fs::path path) : path_(std::move(path)) {
  Reader reader(path_, 0, true);
  compressed_ = archive_filter_count(reader.handle) > 1;
  struct stat status {};
  ::fstat(reader.fd, &status);
  try {
    while (archive_entry* entry = reader.next()) {
      const char* name = archive_entry_pathname(entry);
      Member member{name ? name : "", archive_entry_size(entry),
                    archive_read_header_position(reader.handle)};
      // Skipping goes by seeking, which does not see the end of the file.
      if (!compressed_ && member.size > status.st_size - member.header) {
        fail(ErrorCode::corrupt_data, "{}: the archive is cut off within {}", path_.string(),
             member.name);
      }
      if (compressed_ && archive_read_data_skip(reader.handle) < ARCHIVE_WARN) {
        reader.fail_damaged();
      }
      if (by_name_.emplace(member.name, members_.size()).second) {
        members_.push_back(std::move(member));
      }
    }
  } catch (const Error& error) {
    if (members_.empty()) throw;
    damage_ = error;
  }
}

TarArchive::~TarArchive() = default;

std::shared_ptr<TarArchive> TarArchive::open(const fs::path& path) {
  struct Kept {
    std::tuple<std::string, int64_t, int64_t, int64_t> key;  // path, size, time
    std::shared_ptr<TarArchive> archive;
  };
  static std::mutex mutex;
  static std::list<Kept> kept;  // the last used first
  struct stat s {};
  ::stat(path.c_str(), &s);
  const std::tuple key(path.string(), int64_t{s.st_size}, int64_t{s.st_mtim.tv_sec},
                       int64_t{s.st_mtim.tv_nsec});
  std::lock_guard lock(mutex);
  for (auto it = kept.begin(); it != kept.end(); ++it) {
    if (it->key != key) continue;
    kept.splice(kept.begin(), kept, it);
    return it->archive;
  }
  kept.push_front({key, std::make_shared<TarArchive>(path)});
  if (kept.size() > kArchives) kept.pop_back();
  return kept.front().archive;
}

const TarArchive::Member* TarArchive::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &members_[found->second];
}

std::string TarArchive::read(const std::string& name, size_t limit) {
  const Member* member = find(name);
  if (!member) {
    if (damage_) throw *damage_;
    fail(ErrorCode::not_found, "{}: the archive has no {}", path_.string(), name);
  }
  if (static_cast<size_t>(member->size) > limit) {
    fail(ErrorCode::corrupt_data, "{}/{}: larger than the limit of {} bytes", path_.string(), name,
         limit);
  }
  return compressed_ ? read_in_order(static_cast<size_t>(member - members_.data()))
                     : read_at(*member);
}

std::string TarArchive::read_at(const Member& member) const {
  Reader reader(path_, member.header, false);
  archive_entry* entry = reader.next();
  if (!entry || member.name != archive_entry_pathname(entry)) {
    fail(ErrorCode::corrupt_data, "{}: the archive was changed while it was read", path_.string());
  }
  return reader.read(member.size);
}

// Members that are passed on the way are kept for those who ask for them soon.
std::string TarArchive::read_in_order(size_t index) {
  std::lock_guard lock(mutex_);
  const auto known = recent_.find(index);
  if (known != recent_.end()) return known->second;
  if (!reader_ || index < next_) {
    reader_ = std::make_unique<Reader>(path_, 0, true);
    next_ = recent_bytes_ = 0;
    recent_.clear();
  }
  for (;;) {
    archive_entry* entry = reader_->next();
    if (!entry) reader_->fail_damaged();
    if (archive_read_header_position(reader_->handle) != members_[next_].header) continue;
    std::string bytes = reader_->read(members_[next_].size);
    recent_bytes_ += bytes.size();
    recent_.emplace(next_, bytes);
    while (recent_bytes_ > kRecentBytes) {
      recent_bytes_ -= recent_.begin()->second.size();
      recent_.erase(recent_.begin());
    }
    if (next_++ == index) return bytes;
  }
}

TarWriter::TarWriter(const fs::path& path)
    : path_(path), file_(path), archive_(archive_write_new()) {
  archive_write_set_format_pax_restricted(archive_);
  const auto write = [](archive*, void* self, const void* bytes, size_t size) -> la_ssize_t {
    auto& writer = *static_cast<TarWriter*>(self);
    try {
      writer.file_.write(std::span(static_cast<const std::byte*>(bytes), size));
      return static_cast<la_ssize_t>(size);
    } catch (...) {  // not through the frames of libarchive
      writer.error_ = std::current_exception();
      return -1;
    }
  };
  check_status(archive_write_open2(archive_, this, nullptr, write, nullptr, nullptr));
}

// The end of an archive that was not committed goes to a file that is taken away: libarchive 3.6
// leaks the buffers of a writer that is failed instead of closed.
TarWriter::~TarWriter() {
  archive_write_free(archive_);
}

void TarWriter::add(const std::string& name, std::string_view contents) {
  const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                       archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(contents.size()));
  check_status(archive_write_header(archive_, entry.get()));
  check_status(static_cast<int>(
      std::min<la_ssize_t>(archive_write_data(archive_, contents.data(), contents.size()), 0)));
}

void TarWriter::commit() {
  check_status(archive_write_close(archive_));
  file_.commit();
}

void TarWriter::check_status(int status) const {
  if (error_) std::rethrow_exception(error_);
  if (status >= ARCHIVE_WARN) return;
  const char* why = archive_error_string(archive_);
  fail(ErrorCode::io, "{}: {}", path_.string(), why ? why : "the archive cannot be written");
}

}  // namespace ocelli
