// A file mapped read-only into memory; pages are read when touched and shared between processes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ocelli {

class MappedFile {
 public:
  // Throws not_found, or io when the file cannot be mapped.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Gives the pages wholly inside [data, data + size) of a mapping back to the system; a later read
// fetches them again. Used after a weight has been packed, so that it is not held twice.
void release_mapped_pages(const void* data, size_t size);

}  // namespace ocelli
