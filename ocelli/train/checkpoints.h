// The checkpoints of a run: folders step-00001200, each complete or not there at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ocelli {

class Checkpoints {
 public:
  // What a kill left half-written is removed.
  Checkpoints(std::filesystem::path folder, int64_t keep);

  // `step` has no checkpoint that `last` or `best` names. Calls `write` with a new folder under a
  // temporary name, makes its files durable, renames it and points `last` (and `best`) to it; then
  // removes all but the last `keep` and the best. Whatever fails (disk full: io), the checkpoints
  // that were there stay, and `last` names one of them.
  void save(int64_t step, bool best,
            const std::function<void(const std::filesystem::path& folder)>& write);

  void mark_best(const std::filesystem::path& checkpoint);

  // The folder that `last` or `best` names. Throws corrupt_data naming a pointer to no checkpoint.
  std::optional<std::filesystem::path> last() const { return pointed("last"); }
  std::optional<std::filesystem::path> best() const { return pointed("best"); }

 private:
  std::optional<std::filesystem::path> pointed(const std::string& pointer) const;
  std::vector<std::string> names() const;  // sorted by step
  void remove(const std::string& name) const;

  std::filesystem::path folder_;
  int64_t keep_;
};

}  // namespace ocelli
