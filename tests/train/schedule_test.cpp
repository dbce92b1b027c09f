#include "ocelli/train/schedule.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli {
namespace {

// Torch's schedulers go from value to value, so the last digits of theirs differ.
void expect_curve(const std::string& name, const std::function<double(int64_t)>& value) {
  static const auto goldens =
      nlohmann::json::parse(read_file(OCELLI_SOURCE_DIR "/tests/goldens/train/schedules.json"));
  const auto expected = goldens.at(name).get<std::vector<double>>();
  ASSERT_GE(expected.size(), 40u);
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(value(static_cast<int64_t>(step)), expected[step], 1e-12) << name << " " << step;
  }
}

TEST(Schedule, IsTorchsAndTimms) {
  Schedule s = {.base = 0.5, .last = 0.02, .total = 40, .warmup = 6, .warmup_start = 0.05};
  expect_curve("cosine", s);
  expect_curve("timm_cosine", s);
  s.shape = Schedule::Shape::linear;
  expect_curve("linear", s);
  s.shape = Schedule::Shape::step;
  s.step_size = 9;
  s.gamma = 0.3;
  expect_curve("step", s);
  expect_curve("timm_step", s);
}

TEST(Schedule, StaysWhereItIsConstant) {
  const Schedule s = {.shape = Schedule::Shape::constant, .base = 0.5, .total = 10, .warmup = 2};
  EXPECT_EQ(s(0), 0.0);
  EXPECT_EQ(s(1), 0.25);
  EXPECT_EQ(s(2), 0.5);
  EXPECT_EQ(s(1000), 0.5);
}

TEST(Schedule, AStepNeedsASize) {
  EXPECT_THROW((Schedule{.shape = Schedule::Shape::step, .base = 1}(3)), Error);
}

TEST(Dinov2Schedules, AreTheReferences) {
  const Dinov2Schedules s = dinov2_schedules({.epochs = 5,
                                              .steps_per_epoch = 8,
                                              .warmup_epochs = 2,
                                              .warmup_teacher_temperature_epochs = 3});
  expect_curve("dinov2.lr", s.lr);
  expect_curve("dinov2.weight_decay", s.weight_decay);
  expect_curve("dinov2.momentum", s.momentum);
  expect_curve("dinov2.teacher_temperature", s.teacher_temperature);
  expect_curve(
      "dinov2.freeze",
      Dinov2Cosine{
          .base = 0.5, .last = 0.02, .total = 40, .warmup = 6, .warmup_start = 0.1, .freeze = 4});
  EXPECT_EQ(s.last_layer_lr(7), 0.0);
  EXPECT_EQ(s.last_layer_lr(8), s.lr(8));
}

}  // namespace
}  // namespace ocelli
