// What `ocelli curate` is to do, as a TOML file says it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ocelli/curate/quality.h"
#include "ocelli/formats/settings.h"

namespace ocelli {

struct Recipe {
  uint64_t seed = 0;
  bool keep_animated = false, keep_wrong_extension = true;
  int64_t max_pixels = DecodeOptions{}.max_pixels;
  QualityLimits quality = {};
  bool dedup = true;
  float near = 0.9f;
  std::vector<std::string> against = {};
  std::vector<std::string> seeds = {};  // images whose nearest are retrieved
  int64_t neighbours = 4;               // of each seed
  int64_t target = 0;                   // images after balancing; 0: all
  std::vector<int64_t> clusters = {};   // of each level; none: chosen by the number of images
  std::string format = "folder";        // or "list" or "shards"
  int64_t shard_images = 1000;          // in each shard
};

// Keys are those of docs/curation.md. Throws as read_settings.
Recipe read_recipe(const std::filesystem::path& file);
Recipe parse_recipe(const std::string& text, const std::string& name);
// All of it as TOML.
std::string recipe_text(const Recipe& recipe);
// The fields of `recipe`, which must outlive them.
std::vector<Setting> recipe_settings(Recipe& recipe);

}  // namespace ocelli
