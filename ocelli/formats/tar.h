// Files inside tar archives, read where they are: webdataset's shards. Compressed archives (gzip,
// bzip2, xz, zstd) are read from front to back, others at any place.
// https://github.com/webdataset/webdataset, https://www.libarchive.org
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

struct archive;

namespace ocelli {

// The name ends like a tar archive's: .tar, .tgz, .tar.gz, .tar.bz2, .tar.xz, .tar.zst.
bool has_tar_extension(const std::filesystem::path& path);

// "a/b.tar/c/d.jpg" -> {"a/b.tar", "c/d.jpg"} where a/b.tar is a file; else nothing.
std::optional<std::pair<std::string, std::string>> split_tar_path(const std::string& path);

class TarArchive {
 public:
  struct Member {
    std::string name;
    int64_t size = 0;
    int64_t header = 0;  // where its header begins in the archive without compression
  };

  // Lists the members; where the archive is cut off or damaged, those before. Throws not_found or
  // io, and corrupt_data for a file that is no archive.
  explicit TarArchive(std::filesystem::path path);
  ~TarArchive();

  // Archives that were opened a while ago are kept, as long as their files do not change.
  static std::shared_ptr<TarArchive> open(const std::filesystem::path& path);

  const std::vector<Member>& members() const { return members_; }  // regular files, in their order
  const Member* find(const std::string& name) const;
  // Read from front to back, so that going back to a member is slow.
  bool is_compressed() const { return compressed_; }
  // What is wrong behind the members that are listed.
  const std::optional<Error>& damage() const { return damage_; }

  // The bytes of a member. Throws not_found, or corrupt_data also beyond `limit` bytes. From many
  // threads at a time.
  std::string read(const std::string& name, size_t limit = size_t{1} << 30);

 private:
  struct Reader;

  std::string read_at(const Member& member) const;
  std::string read_in_order(size_t index);

  std::filesystem::path path_;
  bool compressed_ = false;
  std::vector<Member> members_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::optional<Error> damage_;
  std::mutex mutex_;                // of what follows, for compressed archives
  std::unique_ptr<Reader> reader_;  // stands before member `next_`
  size_t next_ = 0;
  std::map<size_t, std::string> recent_;  // members that were passed and may still be wanted
  size_t recent_bytes_ = 0;
};

// Writes an archive of files that appears complete or not at all; the same bytes for the same
// members (no times, no owners).
class TarWriter {
 public:
  explicit TarWriter(const std::filesystem::path& path);
  ~TarWriter();
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;

  void add(const std::string& name, std::string_view contents);
  void commit();

 private:
  void check_status(int status) const;

  std::filesystem::path path_;
  AtomicFile file_;
  std::exception_ptr error_;  // what went wrong when libarchive had bytes written
  archive* archive_;
};

}  // namespace ocelli
