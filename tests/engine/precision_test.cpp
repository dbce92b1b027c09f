// What --precision auto takes, and that its table is the one that docs/accuracy.md publishes.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>

#include "ocelli/engine/open.h"

namespace ocelli {
namespace {

using backend::Precision;

std::string line_of(const LedgerRow& row) {
  return fmt::format("{} {} {} {:.5f} {} {:.2f}", row.family, row.isa,
                     backend::precision_name(row.precision), row.cosine, row.lost, row.speed);
}

// | vit | MODEL | avx512_bf16 | int8 | mean | worst | top-1 | top-5 | speed | peak | file |
TEST(Ledger, IsWhatIsPublished) {
  std::ifstream file(std::string(OCELLI_SOURCE_DIR) + "/docs/accuracy.md");
  const std::regex row(
      R"(\| (\w+) \| [^|]+ \| (\w+) \| (f32|bf16|int8|int4) \| ([\d.]+) \| [\d.]+ \| (\d+) \| \d+ \| ([\d.]+) \|.*)");
  std::vector<std::string> published, used;
  int64_t exact = 0;
  for (std::string line; std::getline(file, line);) {
    std::smatch m;
    if (!std::regex_match(line, m, row)) continue;
    const int64_t right = std::stoll(m[5]);
    if (m[3] == "f32")
      exact = right;
    else
      published.push_back(fmt::format("{} {} {} {} {} {}", m[1].str(), m[2].str(), m[3].str(),
                                      m[4].str(), exact - right, m[6].str()));
  }
  for (const LedgerRow& one : ledger()) used.push_back(line_of(one));
  EXPECT_GT(used.size(), 0u);
  EXPECT_EQ(used, published);
}

TEST(Ledger, NamesFamiliesThatExist) {
  std::set<std::string> known;
  for (const Family* family : families()) known.insert(family->name);
  for (const LedgerRow& row : ledger()) EXPECT_TRUE(known.contains(row.family)) << row.family;
}

TEST(ChoosePrecision, TakesTheFastestThatHolds) {
  for (const LedgerRow& row : ledger()) {
    const PrecisionChoice choice = choose_precision("auto", row.family, row.isa, nullptr);
    const auto chosen = std::ranges::find_if(ledger(), [&](const LedgerRow& other) {
      return std::string(other.family) == row.family && std::string(other.isa) == row.isa &&
             other.precision == choice.precision;
    });
    const double speed = chosen == ledger().end() ? 1 : chosen->speed;
    EXPECT_GE(speed, 1) << line_of(row);
    const double points = 100.0 * static_cast<double>(row.lost) / 600;
    const bool holds = row.precision == Precision::bf16   ? row.cosine >= 0.999 && points <= 0.5
                       : row.precision == Precision::int8 ? row.cosine >= 0.995 && points <= 1
                                                          : false;
    if (holds) {
      EXPECT_GE(speed, row.speed) << line_of(row);
    }
    if (chosen == ledger().end()) {
      EXPECT_EQ(choice.precision, Precision::f32);
    }
  }
}

TEST(ChoosePrecision, OfWhatIsNotPublishedIsF32) {
  EXPECT_EQ(choose_precision("auto", "clip", "avx512_bf16", nullptr).precision, Precision::f32);
  EXPECT_EQ(choose_precision("auto", "vit", "sse4", nullptr).precision, Precision::f32);
}

TEST(ChoosePrecision, TakesWhatIsAskedFor) {
  Quantization quantization;
  quantization.precision = Precision::int4;
  EXPECT_EQ(choose_precision("auto", "vit", "sse4", &quantization).precision, Precision::int4);
  EXPECT_EQ(choose_precision("", "vit", "sse4", &quantization).precision, Precision::int4);
  EXPECT_EQ(choose_precision("", "vit", "avx512_bf16", nullptr).precision, Precision::f32);
  EXPECT_EQ(choose_precision("f32", "vit", "avx512_bf16", &quantization).precision, Precision::f32);
  EXPECT_EQ(choose_precision("int8", "clip", "sse4", nullptr).precision, Precision::int8);
  EXPECT_THROW(choose_precision("f16", "vit", "sse4", nullptr), Error);
  EXPECT_THROW(choose_precision("f8", "vit", "sse4", nullptr), Error);
}

}  // namespace
}  // namespace ocelli
