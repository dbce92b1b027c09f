#include "ocelli/formats/csv.h"

#include <gtest/gtest.h>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

using Rows = std::vector<CsvRow>;

TEST(Csv, ReadsWhatRfc4180Allows) {
  EXPECT_EQ(parse_csv("a,b\r\n\"x, y\",\"say \"\"hi\"\"\"\n", "t"),
            (Rows{{"a", "b"}, {"x, y", "say \"hi\""}}));
  EXPECT_EQ(parse_csv("a,\"two\nlines\",c", "t"), (Rows{{"a", "two\nlines", "c"}}));
  EXPECT_EQ(parse_csv("a,,\n\n,b,\n", "t"), (Rows{{"a", "", ""}, {"", "b", ""}}));
  EXPECT_EQ(parse_csv("\xEF\xBB\xBFimage , caption\n", "t"), (Rows{{"image", "caption"}}));
  EXPECT_TRUE(parse_csv("", "t").empty());
}

TEST(Csv, TakesQuotesLightlyBetweenTabsAndBars) {
  EXPECT_EQ(parse_csv("a.jpg#0\tA \"big\" dog, running .\nb\t\"open\n", "t"),
            (Rows{{"a.jpg#0", "A \"big\" dog, running ."}, {"b", "\"open"}}));
  EXPECT_EQ(parse_csv("a\t\"x\ty\"\n", "t"), (Rows{{"a", "x\ty"}}));
  EXPECT_EQ(parse_csv("image_name| comment\na.jpg| one, two\n", "t"),
            (Rows{{"image_name", "comment"}, {"a.jpg", "one, two"}}));
}

TEST(Csv, NamesTheLineOfAnOpenQuote) {
  try {
    parse_csv("a,b\nc,\"d\n", "table.csv");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_data);
    EXPECT_STREQ(error.what(), "table.csv: line 2: the quote is not closed");
  }
}

TEST(Csv, FieldsAreQuotedWhereTheyMustBe) {
  const CsvRow row = {"plain", "a,b", "say \"hi\"", "two\nlines", "é", ""};
  EXPECT_EQ(parse_csv(csv_line(row), "t"), (Rows{row}));
  EXPECT_EQ(csv_line({"plain", "a,b"}), "plain,\"a,b\"\n");
}

}  // namespace
}  // namespace ocelli
