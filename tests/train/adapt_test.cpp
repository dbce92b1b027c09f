#include "ocelli/train/adapt.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ocelli/formats/safetensors.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/parameter_groups.h"
#include "tests/support.h"

namespace ocelli {
namespace {

void expect_all_near(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_TRUE(actual.defined()) << what;
  double error = 0, largest = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double right = expected.data<float>()[i];
    largest = std::max(largest, std::abs(right));
    error = std::max(error, std::abs(right - contiguous(actual).data<float>()[i]));
  }
  EXPECT_LE(error, 1e-4 * largest) << what;
}

// tools/goldens/adapt.py
TEST(Adapt, TenStepsWithATeacherEqualPyTorch) {
  const Safetensors golden(kGoldens / "train" / "adapt.safetensors");
  const auto pixels = [&](const char* name) {
    return contiguous(golden.load(name).permute({0, 2, 3, 1}));
  };
  const DomainBatch batch = {pixels("source"), to(golden.load("labels"), DType::i32),
                             pixels("weak"), pixels("strong")};
  const ModelFolder folder = ModelFolder::open(kGoldens / "vit_hf_classifier");
  const TrainableModel student(folder), teacher(folder);
  std::vector<Parameter> parameters = parameters_of(student);
  for (Parameter& p : parameters) p.decay = p.value.rank() > 1;
  Optimizer optimizer(parameters, AdamW{});
  const Tensor losses = golden.load("losses"), used = golden.load("used");
  for (int64_t step = 0; step < losses.numel(); ++step) {
    Tape tape;
    student.watch(tape);
    const AdaptationLosses parts =
        adaptation_losses(*student.build(), *teacher.build(), batch, 0.6);
    const Tensor loss = parts.source + parts.target * 0.8f + parts.coral * 0.5f;
    const auto expect = [&](const Tensor& actual, const Tensor& expected) {
      const float right = expected.data<float>()[0];
      EXPECT_NEAR(actual.data<float>()[0], right, 1e-4f * std::abs(right)) << "step " << step;
    };
    expect(loss, losses.slice(0, step, step + 1));
    EXPECT_EQ(static_cast<float>(parts.used), used.data<float>()[step]) << "step " << step;
    const Gradients found = tape.backward(loss);
    if (step == 0) {
      expect(parts.source, golden.load("source_loss"));
      expect(parts.target, golden.load("target_loss"));
      expect(parts.coral, golden.load("coral_loss"));
      for (const char* name :
           {"classifier.weight", "vit.embeddings.cls_token", "vit.layernorm.weight"}) {
        expect_all_near(found(student.tensor(name)), golden.load(std::string("grad.") + name),
                        name);
      }
    }
    std::vector<Tensor> gradients;
    for (const Parameter& p : parameters) gradients.push_back(found(p.value));
    optimizer.step(gradients, {.lr = 1e-3, .weight_decay = 0.05});
    update_average(teacher, student, 0.9);
  }
  expect_all_near(teacher.tensor("classifier.weight"), golden.load("teacher"), "teacher");
}

TEST(Adapt, CoralRefusesASingleRow) {
  const Tensor one = Tensor::zeros({1, 3}), two = Tensor::zeros({2, 3});
  EXPECT_NE(complaint([&] { coral_loss(one, two); }).find("two rows"), std::string::npos);
  EXPECT_NE(complaint([&] {
              coral_loss(two, Tensor::zeros({2, 4}));
            }).find("widths"),
            std::string::npos);
}

// timm's ModelEmaV3 averages them, too.
TEST(UpdateAverage, FollowsTheStatisticsOfBatchNorms) {
  const ModelFolder folder = ModelFolder::open(kGoldens / "efficientnet_lite0");
  const TrainableModel model(folder), average(folder);
  const std::string name = "blocks.0.0.bn1.running_var";
  const float before = average.tensor(name).data<float>()[0];
  model.tensor(name).data<float>()[0] = before + 1;
  update_average(average, model, 0.75);
  EXPECT_NEAR(average.tensor(name).data<float>()[0], before + 0.25f, 1e-6f);
}

}  // namespace
}  // namespace ocelli
