// DINOv2's training as PyTorch does it (tools/goldens/selfsup.py).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/parameter_groups.h"
#include "ocelli/train/student_teacher.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(OCELLI_SOURCE_DIR) / "tests" / "goldens" / "selfsup_dinov2";

// Of the largest, as everywhere.
void expect_close(const Tensor& actual, const Tensor& expected, const std::string& what,
                  double tolerance) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  const Tensor a = contiguous(actual), e = contiguous(expected);
  double error = 0, largest = 0;
  for (int64_t i = 0; i < e.numel(); ++i) {
    largest = std::max(largest, std::abs(double{e.data<float>()[i]}));
    error = std::max(error, std::abs(double{e.data<float>()[i]} - a.data<float>()[i]));
  }
  EXPECT_LE(error, tolerance * largest + 1e-6) << what;
}

class SelfsupGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    batch_.images = contiguous(golden_.load("images").permute({0, 2, 3, 1}));
    batch_.local_crops = contiguous(golden_.load("local_crops").permute({0, 2, 3, 1}));
    batch_.masks = golden_.load("masks");
    for (const auto& [name, tensor] : learners_.heads()) {
      const Tensor start = golden_.load("start." + name);
      ASSERT_EQ(start.shape(), tensor.shape()) << name;
      std::memcpy(tensor.raw(), start.raw(), start.nbytes());
    }
    learners_.update_teacher(student_, 0);
    parameters_ = parameters_of(student_);
    for (Parameter& parameter : learners_.parameters()) {
      if (parameter.name.find("last_layer") != std::string::npos) parameter.lr_from = 3;
      parameters_.push_back(parameter);
    }
  }

  static StudentTeacherOptions options() {
    const bool sinkhorn = GetParam() == "sinkhorn_knopp";
    return {.head = {.hidden = 20, .bottleneck = 8, .prototypes = 24},
            .separate_heads = sinkhorn,
            .sinkhorn_knopp = sinkhorn};
  }

  std::vector<Tensor> step(int64_t number) {
    Tape tape;
    for (const Parameter& parameter : parameters_) tape.watch(parameter.value);
    const auto built = student_.build();
    const auto losses =
        learners_.losses(*built, batch_, 0.04 + 0.03 * static_cast<double>(number) / 20);
    const Tensor expected = golden_.load("losses");
    for (int64_t i = 0; i < 3; ++i) {
      const float right = expected.data<float>()[3 * number + i];
      const char* name = std::array{"dino_loss", "ibot_loss", "koleo_loss"}[i];
      const auto found = std::ranges::find(losses.metrics, name, &Metric::first);
      EXPECT_NEAR(found->second, right, 1e-4 * std::abs(right)) << name << " of step " << number;
    }
    const Gradients found = tape.backward(losses.total);
    std::vector<Tensor> gradients;
    for (const Parameter& parameter : parameters_) gradients.push_back(found(parameter.value));
    return gradients;
  }

  Safetensors golden_{kFolder / (GetParam() + ".safetensors")};
  TrainableModel student_{ModelFolder::open(kFolder / "model.safetensors")};
  StudentTeacher learners_{student_, options()};
  Batch batch_;
  std::vector<Parameter> parameters_;
};

TEST_P(SelfsupGolden, GradientsEqualPyTorch) {
  const std::vector<Tensor> gradients = step(0);
  for (size_t i = 0; i < gradients.size(); ++i) {
    const std::string& name = parameters_[i].name;
    ASSERT_TRUE(gradients[i].defined()) << name;
    expect_close(gradients[i], golden_.load("grad." + name), name, 1e-4);
  }
}

TEST_P(SelfsupGolden, TwentyStepsEqualPyTorch) {
  for (Parameter& parameter : parameters_) parameter.decay = true;
  Optimizer optimizer(parameters_, AdamW{});
  for (int64_t number = 0; number < 20; ++number) {
    const std::vector<Tensor> gradients = step(number);
    clip_grad_norm(parameters_, gradients, 3.0);
    optimizer.step(gradients, {.lr = 2e-3, .weight_decay = 0.04});
    learners_.update_teacher(student_, 0.95);
  }
  expect_close(learners_.teacher().tensor("layernorm.weight"),
               golden_.load("teacher.layernorm.weight"), "the teacher", 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Centring, SelfsupGolden, testing::Values("sinkhorn_knopp", "centring"),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace ocelli
