// ftfy.fix_text and html.unescape, character for character (tools/goldens/text.py).
#include "ocelli/text/clean/clean.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/text/clean/ftfy.h"
#include "ocelli/text/clean/html_entities.h"

namespace ocelli {
namespace {

nlohmann::json cleaned() {
  const std::filesystem::path data = OCELLI_SOURCE_DIR;
  return nlohmann::json::parse(read_file(data / "tests/text/data/cleaned.json"));
}

TEST(Clean, FixesTextLikeFtfy) {
  const auto rows = cleaned();
  for (const auto& row : rows["ftfy"]) {
    EXPECT_EQ(fix_text(row[0].get<std::string>()), row[1]) << row[0];
  }
}

TEST(Clean, ResolvesReferencesLikePython) {
  const auto rows = cleaned();
  for (const auto& row : rows["unescape"]) {
    EXPECT_EQ(unescape_html(row[0].get<std::string>()), row[1]) << row[0];
  }
}

TEST(Clean, HasOpenClipsThreeWays) {
  const std::string text = "  A_b,  \u201cC\u201d &amp;amp; ";
  EXPECT_EQ(clean_text(text, Clean::whitespace), "A_b, \"C\" &");
  EXPECT_EQ(clean_text(text, Clean::lower), "a_b, \"c\" &");
  EXPECT_EQ(clean_text(text, Clean::canonicalize), "a b c");
}

}  // namespace
}  // namespace ocelli
