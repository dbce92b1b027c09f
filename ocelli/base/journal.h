// Lines that long work has come to so far; they outlive a kill.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

class Journal {
 public:
  // Reads the whole lines that are there; half a line at the end, which a kill left, is cut off.
  explicit Journal(std::filesystem::path file);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Those that were there at the start.
  const std::vector<std::string>& lines() const { return lines_; }
  // Whole lines, each with its end. Throws io naming the file (disk full).
  void append(std::string_view lines);
  // Cuts off all lines after the first `count`.
  void keep(size_t count);

 private:
  void truncate(size_t size);

  std::filesystem::path file_;
  std::vector<std::string> lines_;
  int fd_ = -1;
};

}  // namespace ocelli
