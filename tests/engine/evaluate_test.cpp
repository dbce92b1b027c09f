#include "ocelli/engine/evaluate.h"

#include <gtest/gtest.h>

#include "ocelli/base/file.h"
#include "ocelli/base/log.h"
#include "ocelli/engine/heat_map.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

TEST(Confusion, AMatrixOfTheClassesThatOccur) {
  const TempFolder folder;
  Evaluation evaluation;
  evaluation.confusion = {{{0, 0}, 2}, {{0, 2}, 1}, {{7, 0}, 4}};
  write_confusion_csv(folder / "c.csv", evaluation, {"cat, tabby", "dog", "owl"});
  EXPECT_EQ(read_file(folder / "c.csv"),
            "true \\ predicted,\"cat, tabby\",owl,7\n"
            "\"cat, tabby\",2,1,0\n"
            "owl,0,0,0\n"
            "7,4,0,0\n");
}

TEST(Confusion, PairsWhenTheClassesAreTooMany) {
  const TempFolder folder;
  Evaluation evaluation;
  for (int64_t i = 0; i <= kLargestConfusion; ++i) evaluation.confusion[{i, i}] = 1;
  std::string said;
  set_log_callback([&](LogLevel, const std::string& message) { said = message; });
  write_confusion_csv(folder / "c.csv", evaluation, {});
  set_log_callback({});
  EXPECT_NE(said.find("2001 classes"), std::string::npos) << said;
  EXPECT_TRUE(read_file(folder / "c.csv").starts_with("true,predicted,count\n0,0,1\n1,1,1\n"));
}

TEST(HeatMap, RefusesWhatNobodyCouldLookAt) {
  const TempFolder folder;
  Match match;
  match.images.assign(100'000, "a.jpg");
  match.texts.assign(100, "a text");
  const Tensor values = Tensor::zeros({100'000, 100});
  try {
    write_heat_map(folder / "map.png", {.match = match, .values = values, .quantity = "cosine"});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("100000 images and 100 texts"), std::string::npos);
  }
}

}  // namespace
}  // namespace ocelli
