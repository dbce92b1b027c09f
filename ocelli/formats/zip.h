// The directory of a zip archive in memory, and its entries' bytes. Sizes and positions are checked
// against the archive before anything is read. APPNOTE.TXT 6.3.9, ZIP64 included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace ocelli {

class Zip {
 public:
  // `bytes` outlive the Zip. Throws corrupt_data naming `file`.
  Zip(std::span<const std::byte> bytes, std::string file);

  bool has(const std::string& name) const { return entries_.contains(name); }
  std::vector<std::string> names() const;
  // True when the entry is stored, so that view() works.
  bool is_stored(const std::string& name) const;
  std::span<const std::byte> view(const std::string& name) const;
  // The entry's bytes, inflated where needed; its checksum is verified.
  std::vector<std::byte> read(const std::string& name) const;

  static bool looks_like(std::span<const std::byte> bytes);

 private:
  struct Entry {
    uint16_t method = 0;
    uint32_t crc = 0;
    uint64_t packed = 0, size = 0, header = 0;
  };
  const Entry& find(const std::string& name) const;
  std::span<const std::byte> packed_bytes(const std::string& name, const Entry& entry) const;
  template <typename T>
  T number(uint64_t at) const;
  void read_directory(uint64_t begin, uint64_t count);

  std::span<const std::byte> bytes_;
  std::string file_;
  std::map<std::string, Entry> entries_;
};

struct ZipFile {
  std::string name;
  std::string bytes;
};

// A zip archive of stored entries, each aligned to 64 bytes as numpy's and PyTorch's readers like
// it.
std::string write_stored_zip(const std::vector<ZipFile>& files);

}  // namespace ocelli
