#include "ocelli/curate/recipe.h"

#include "ocelli/base/file.h"

namespace ocelli {

std::vector<Setting> recipe_settings(Recipe& r) {
  QualityLimits& q = r.quality;
  return {
      {"seed", &r.seed, 0, 1e15},
      {"collect.keep_animated", &r.keep_animated},
      {"collect.keep_wrong_extension", &r.keep_wrong_extension},
      {"collect.max_pixels", &r.max_pixels, 1, 1e12},
      {"quality.min_side", &q.min_side},
      {"quality.max_aspect", &q.max_aspect, 1},
      {"quality.min_sharpness", &q.min_sharpness},
      {"quality.min_brightness", &q.min_brightness, 0, 1},
      {"quality.max_brightness", &q.max_brightness, 0, 1},
      {"quality.min_contrast", &q.min_contrast, 0, 1},
      {"quality.min_entropy", &q.min_entropy, 0, 8},
      {"quality.max_solid", &q.max_solid, 0, 1},
      {"quality.max_text", &q.max_text, 0, 1},
      {"dedup.enabled", &r.dedup},
      {"dedup.near", &r.near, 0, 1},
      {"dedup.against", &r.against},
      {"retrieve.seeds", &r.seeds},
      {"retrieve.neighbours", &r.neighbours, 1},
      {"retrieve.target", &r.target},
      {"retrieve.clusters", &r.clusters, 1},
      {"export.format", &r.format, 0, 0, {"folder", "list", "shards"}},
      {"export.shard_images", &r.shard_images, 1},
  };
}

Recipe parse_recipe(const std::string& text, const std::string& name) {
  Recipe recipe;
  read_settings(recipe_settings(recipe), text, name);
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& file) {
  return parse_recipe(read_file(file, 1 << 20), file.string());
}

std::string recipe_text(const Recipe& recipe) {
  Recipe copy = recipe;
  return settings_text(recipe_settings(copy));
}

}  // namespace ocelli
