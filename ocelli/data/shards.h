// webdataset's shards: tar archives in which the files of a sample follow each other under one
// key, "0001.jpg", "0001.txt" (caption), "0001.cls" (label) or "0001.json" ("caption" or "text",
// "label" or "cls"). https://github.com/webdataset/webdataset
#pragma once

#include <list>
#include <mutex>
#include <utility>

#include "ocelli/data/dataset.h"

namespace ocelli {

// An index is the number of the shard times 2^32, plus the place of the sample in it. An epoch
// takes the shards in random order, those of this rank, and shuffles their samples over
// Sampling::shuffle_buffer; each rank (and each of its loaders, where it has several: count them
// as ranks) reads shards of its own.
class Shards final : public Dataset {
 public:
  // Throws not_found when one is missing. A sample without what `target` asks for cannot be read.
  Shards(std::vector<std::string> paths, Target target);
  ~Shards() override;

  std::optional<int64_t> size() const override { return std::nullopt; }
  Sample get(int64_t index) const override;
  std::string id(int64_t index) const override;
  const std::vector<std::string>& classes() const override { return classes_; }
  Order order(const Sampling& sampling, int64_t epoch) const override;
  int64_t substitute(int64_t index, Rng& rng) const override;  // of the same shard

  int64_t num_shards() const { return static_cast<int64_t>(paths_.size()); }

 private:
  struct Shard;
  class Reader;
  std::shared_ptr<const Shard> open(int64_t number) const;

  std::vector<std::string> paths_, classes_;
  Target target_;
  mutable std::mutex mutex_;
  mutable std::list<std::pair<int64_t, std::shared_ptr<const Shard>>> opened_;  // last used first
};

}  // namespace ocelli
