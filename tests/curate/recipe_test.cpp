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

TEST(Recipe, IsTheSameAfterWritingAndReading) {
  const Recipe r = parse_recipe("seed = 5\n[dedup]\nnear = 0.95\nagainst = ['a\"b', 'c']\n", "r");
  EXPECT_EQ(recipe_text(parse_recipe(recipe_text(r), "again")), recipe_text(r));
  EXPECT_NE(recipe_text(r).find("near = 0.95\n"), std::string::npos) << recipe_text(r);
}

TEST(Recipe, NamesUnknownKeysAndTheNearest) {
  EXPECT_EQ(complaint("[dedup]\nnaer = 0.9"),
            "r.toml: line 2: there is no key 'dedup.naer'; did you mean dedup.near?");
  EXPECT_EQ(complaint("[dedupe]\nnear = 0.9"),
            "r.toml: line 2: there is no key 'dedupe.near'; did you mean dedup.near?");
  EXPECT_EQ(complaint("sede = 1"), "r.toml: line 1: there is no key 'sede'; did you mean seed?");
}

TEST(Recipe, RefusesValuesThatMakeNoSense) {
  EXPECT_EQ(complaint("[dedup]\nnear = 2"),
            "r.toml: line 2: dedup.near takes a number from 0 to 1");
  EXPECT_EQ(complaint("[export]\nformat = 'zip'"),
            "r.toml: line 2: export.format takes one of folder, list, shards");
  EXPECT_EQ(complaint("[retrieve]\nclusters = [0]"),
            "r.toml: line 2: retrieve.clusters takes a list of whole numbers from 1 to 1000000000");
  for (const char* text : {"[dedup]\nnear = 'x'", "[quality]\nmin_side = 1.5",
                           "[dedup]\nagainst = 'eval'", "[dedup]\nenabled = 1", "seed = -1"}) {
    EXPECT_NE(complaint(text).find(" takes "), std::string::npos) << text;
  }
  EXPECT_NE(complaint("seed = 1\n[^dedup]\n"), "");
  EXPECT_NE(complaint("seed = [}"), "");
  EXPECT_NE(complaint("seed = 1\nsee\u017f = 1\n").find("line 2: "), std::string::npos);
  EXPECT_EQ(complaint("[dedup]\nagainst = ['gr\u00f6\u00dfer']  # \u00e4\n"), "");
  EXPECT_NE(complaint("seed = = 1").find("line 1"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
