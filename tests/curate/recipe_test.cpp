#include "ocelli/curate/recipe.h"

#include <gtest/gtest.h>

namespace ocelli {
namespace {

std::string complaint(const std::string& text) {
  try {
    parse_recipe(text, "r.toml");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Recipe, ReadsWhatIsThereAndKeepsTheRest) {
  const Recipe r = parse_recipe(
      "seed = 5\n[quality]\nmin_side = 100\nmax_aspect = 3\n[dedup]\nagainst = ['eval']\n"
      "[retrieve]\ntarget = 10\nclusters = [8, 2]\n[export]\nformat = 'list'\n",
      "r.toml");
  EXPECT_EQ(r.seed, 5u);
  EXPECT_EQ(r.quality.min_side, 100);
  EXPECT_EQ(r.quality.max_aspect, 3);
  EXPECT_EQ(r.against, std::vector<std::string>{"eval"});
  EXPECT_EQ(r.clusters, (std::vector<int64_t>{8, 2}));
  EXPECT_EQ(r.format, "list");
  EXPECT_FLOAT_EQ(r.near, 0.9f);
  EXPECT_NE(recipe_text(r), recipe_text(Recipe{}));
}

TEST(Recipe, NamesUnknownKeysAndThoseThereAre) {
  EXPECT_EQ(complaint("[dedup]\nnaer = 0.9"),
            "r.toml: 'dedup.naer' is no key of a recipe; there are against, enabled, near");
  EXPECT_EQ(complaint("[dedupe]\nnear = 0.9"),
            "r.toml: 'dedupe' is no key of a recipe; there are collect, dedup, export, quality, "
            "retrieve");
  EXPECT_EQ(complaint("sede = 1"), "r.toml: 'sede' is no key of a recipe; there are seed");
}

TEST(Recipe, RefusesValuesThatMakeNoSense) {
  for (const char* text : {"[dedup]\nnear = 2", "[dedup]\nnear = 'x'", "[quality]\nmin_side = 1.5",
                           "[dedup]\nagainst = 'eval'", "[export]\nformat = 'zip'", "seed = -1"}) {
    EXPECT_NE(complaint(text).find("makes no sense"), std::string::npos) << text;
  }
  EXPECT_NE(complaint("[retrieve]\nclusters = [0]").find("from 1 on"), std::string::npos);
  EXPECT_NE(complaint("seed = 1\n[^dedup]\n"), "");
  EXPECT_NE(complaint("seed = [}"), "");
  EXPECT_NE(complaint("seed = 1\nsee\u017f = 1\n").find("line 2: letters"), std::string::npos);
  EXPECT_EQ(complaint("[dedup]\nagainst = ['gr\u00f6\u00dfer']  # \u00e4\n"), "");
  EXPECT_NE(complaint("seed = = 1").find("line 1"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
