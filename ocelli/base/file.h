// Whole-file reads, and writes that appear under their name only when complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ocelli {

// The bytes of a file. Throws not_found, io, or corrupt_data beyond `limit` bytes.
std::string read_file(const std::filesystem::path& path, size_t limit = size_t{1} << 30);

// Writes to a file without a name, which the system removes even when the process is killed, and
// names it on commit(); where the file system has no such files, to a temporary name that is
// removed unless committed. A link is followed; a device or pipe is written directly. A failed
// write (disk full, no permission) throws io naming the path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  // Over bytes written before, e.g. a header that counts what follows.
  void write_at(size_t position, std::string_view text);
  void commit();

 private:
  void open_replacement();
  [[noreturn]] void fail_with(int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  bool direct_ = false;  // a device or pipe
  bool named_ = false;   // the temporary is in its folder
  int fd_ = -1;
};

// As indexes keep a name: absolute, without "." and "..".
std::filesystem::path whole_path(const std::filesystem::path& path);

void write_file(const std::filesystem::path& path, std::string_view contents);

}  // namespace ocelli
