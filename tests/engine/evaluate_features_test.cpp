// Against scikit-learn (tools/goldens/evaluate.py).
#include "ocelli/engine/evaluate_features.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ocelli/engine/logistic_regression.h"
#include "ocelli/engine/retrieval.h"
#include "ocelli/formats/safetensors.h"

namespace ocelli {
namespace {

constexpr int64_t kClasses = 5;

class Features : public testing::TestWithParam<std::string> {
 protected:
  Tensor load(const std::string& name) const { return golden.load(GetParam() + "." + name); }
  std::vector<int64_t> classes(const std::string& name) const {
    const Tensor loaded = load(name);
    const auto values = loaded.values<int64_t>();
    return {values.begin(), values.end()};
  }

  Safetensors golden{std::filesystem::path(OCELLI_SOURCE_DIR) /
                     "tests/goldens/evaluate/features.safetensors"};
};

// Losses of f32 scores tell points nearer to the minimum not apart.
TEST_P(Features, TheProbeIsThatOfTheReference) {
  const LogisticRegression probe =
      fit_logistic_regression(load("rows"), classes("label"), kClasses, load("c").data<float>()[0]);
  const Tensor expected = load("scores"),
               scores = linear(load("asked"), LinearWeight(probe.weight, probe.bias));
  float largest = 0;
  for (const float score : expected.values<float>()) largest = std::max(largest, std::abs(score));
  const auto predicted = predict(probe, load("asked"));
  for (int64_t i = 0; i < scores.size(0); ++i) {
    const float *row = scores.data<float>() + i * kClasses,
                *reference = expected.data<float>() + i * kClasses;
    for (int64_t c = 0; c < kClasses; ++c) EXPECT_NEAR(row[c], reference[c], 5e-4 * largest) << i;
    EXPECT_EQ(predicted[static_cast<size_t>(i)],
              std::max_element(reference, reference + kClasses) - reference);
  }
}

TEST_P(Features, ThePrecisionIsThatOfTheReference) {
  EXPECT_NEAR(mean_average_precision(load("asked"), classes("truth")), load("map").data<float>()[0],
              1e-5);
}

INSTANTIATE_TEST_SUITE_P(Golden, Features, testing::Values("many", "few", "noise"));

TEST_P(Features, TheStrengthOfThePenaltyIsTried) {
  const Tensor rows = load("rows");
  const auto best = fit_best_logistic_regression(rows, classes("label"), kClasses);
  EXPECT_EQ(best.c, fit_best_logistic_regression(rows, classes("label"), kClasses).c);
  if (GetParam() == "few") {
    EXPECT_EQ(predict(best, rows), classes("label"));
  }
}

TEST(LogisticRegression, OneClassTeachesNothing) {
  EXPECT_THROW(fit_logistic_regression(Tensor::zeros({9, 3}), std::vector<int64_t>(9), 1, 1),
               Error);
  EXPECT_THROW(fit_logistic_regression(Tensor::zeros({1, 3}), {0}, 2, 1), Error);
  EXPECT_THROW(fit_logistic_regression(Tensor::zeros({9, 3}), std::vector<int64_t>(9), 2, 0),
               Error);
}

TEST(MeanAveragePrecision, AloneInItsClassAnImageAsksNothing) {
  const Tensor rows = Tensor::from<float>(std::vector<float>{1, 0, 0, 1, 0.6f, 0.8f}, {3, 2});
  // 0 finds 2 first; 2 finds 1, which is alone, before 0.
  EXPECT_DOUBLE_EQ(mean_average_precision(rows, {0, 1, 0}), 0.75);
  EXPECT_DOUBLE_EQ(mean_average_precision(rows, {0, 1, 2}), 0);
}

}  // namespace
}  // namespace ocelli
