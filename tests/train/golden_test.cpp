// Whole models: the loss and the gradient of every parameter, as PyTorch has them
// (tools/goldens/gradients.py, training.py; files beside a tiny model).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ocelli/backend/backend.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/trainable.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/contrastive.h"
#include "ocelli/train/optimizer.h"
#include "tests/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_with(const char* file) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens)) {
    if (fs::exists(entry.path() / file)) {
      names.push_back(entry.path().filename());
    }
  }
  std::ranges::sort(names);
  return names;
}

ModelFolder open(const fs::path& folder) {
  for (const char* name : {"model.safetensors", "open_clip_model.safetensors"}) {
    if (fs::exists(folder / name)) return ModelFolder::open(folder / name);
  }
  fail(ErrorCode::not_found, "{}: no checkpoint", folder.string());
}

// Of the batch in the file: images with texts, or with labels.
Tensor loss_of(const TrainableModel& trained, const Safetensors& batch) {
  const Tensor pixels = contiguous(batch.load("pixels").permute({0, 2, 3, 1}));
  const std::unique_ptr<Model> model = trained.build();
  if (!model->has_text()) {
    return cross_entropy(model->classify(pixels), to(batch.load("labels"), DType::i32));
  }
  const bool padded = std::ranges::any_of(
      batch.tensors(), [](const TensorInfo& info) { return info.name == "attention_mask"; });
  const Tensor mask = padded ? to(batch.load("attention_mask"), DType::u8) : Tensor();
  return contrastive_loss(trained, normalize(model->embed_image(pixels)),
                          normalize(model->embed_text(to(batch.load("ids"), DType::i32), mask)));
}

class GradientGolden : public testing::TestWithParam<std::string> {};

TEST_P(GradientGolden, EqualsPyTorch) {
  const fs::path folder = kGoldens / GetParam();
  const Safetensors expected(folder / "gradients.safetensors");
  const TrainableModel trained(open(folder));
  Tape tape;
  trained.watch(tape);
  const Tensor loss = loss_of(trained, expected);
  const float right = expected.load("loss").data<float>()[0];
  EXPECT_NEAR(loss.data<float>()[0], right, 1e-4f * std::abs(right));
  const Gradients gradients = tape.backward(loss);
  int compared = 0;
  for (const std::string& name : trained.parameters()) {
    const Tensor actual = gradients(trained.tensor(name));
    const bool learns = std::ranges::any_of(
        expected.tensors(), [&](const TensorInfo& info) { return info.name == "grad." + name; });
    ASSERT_EQ(actual.defined(), learns) << name;
    if (!learns) continue;
    const Tensor g = expected.load("grad." + name);
    double error = 0, largest = 0;
    for (int64_t i = 0; i < g.numel(); ++i) {
      largest = std::max(largest, std::abs(double{g.data<float>()[i]}));
      error = std::max(error, std::abs(double{g.data<float>()[i]} - actual.data<float>()[i]));
    }
    // Of what is zero but for rounding (the bias of keys), nothing is asked.
    EXPECT_LE(error, 1e-4 * largest + 1e-6) << name;
    ++compared;
  }
  EXPECT_GT(compared, 10);
  for (const TensorInfo& info : expected.tensors()) {
    if (!info.name.starts_with("moved.")) continue;
    const Tensor moved = expected.load(info.name), actual = trained.tensor(info.name.substr(6));
    for (int64_t i = 0; i < moved.numel(); ++i) {
      const float expect = moved.data<float>()[i];
      EXPECT_NEAR(actual.data<float>()[i], expect, 1e-5f + 1e-4f * std::abs(expect)) << info.name;
    }
  }
}

// The same function is computed again, so the gradients are the same bits.
TEST_P(GradientGolden, OfBlocksThatAreComputedAgainAreTheSame) {
  const fs::path folder = kGoldens / GetParam();
  const Safetensors batch(folder / "gradients.safetensors");
  std::vector<Gradients> gradients;
  const TrainableModel trained(open(folder));
  for (const bool enabled : {false, true}) {
    Tape tape;
    trained.watch(tape);
    const Recompute recompute(enabled);
    const Tensor loss = loss_of(trained, batch);
    gradients.push_back(tape.backward(loss));
    if (enabled && !recompute.was_used()) GTEST_SKIP() << "a family that cannot";
  }
  for (const std::string& name : trained.parameters()) {
    const Tensor once = gradients[0](trained.tensor(name)),
                 again = gradients[1](trained.tensor(name));
    ASSERT_EQ(once.defined(), again.defined()) << name;
    if (!once.defined()) continue;
    EXPECT_TRUE(std::ranges::equal(once.values<float>(), again.values<float>())) << name;
  }
}

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) sum += double{a.data<float>()[i]} * b.data<float>()[i];
  return sum;
}

TEST_P(GradientGolden, OfBf16PointTheSameWay) {
  if (GetParam().starts_with("efficientnet")) {
    GTEST_SKIP() << "batch norms over twelve values a channel magnify what rounding does";
  }
  const fs::path folder = kGoldens / GetParam();
  const Safetensors expected(folder / "gradients.safetensors");
  const TrainableModel trained(open(folder));
  const backend::UseBackend scope(backend::cpu(backend::Precision::bf16));
  Tape tape;
  trained.watch(tape);
  const Gradients gradients = tape.backward(loss_of(trained, expected));
  double largest = 0;
  for (const TensorInfo& info : expected.tensors()) {
    if (!info.name.starts_with("grad.")) continue;
    const Tensor g = expected.load(info.name);
    largest = std::max(largest, dot(g, g) / static_cast<double>(g.numel()));
  }
  int compared = 0;
  for (const std::string& name : trained.parameters()) {
    const Tensor actual = gradients(trained.tensor(name));
    if (!actual.defined()) continue;
    const Tensor g = expected.load("grad." + name);
    // Of what is zero but for rounding (the bias of keys), nothing is asked.
    if (dot(g, g) / static_cast<double>(g.numel()) < 1e-10 * largest) continue;
    EXPECT_GE(dot(actual, g) / std::sqrt(dot(actual, actual) * dot(g, g)), 0.998) << name;
    ++compared;
  }
  EXPECT_GT(compared, 10);
}

class LossesGolden : public testing::TestWithParam<std::string> {};

TEST_P(LossesGolden, TwentyStepsOfAdamWEqualPyTorch) {
  const fs::path folder = kGoldens / GetParam();
  const Safetensors batch(folder / "losses.safetensors");
  const TrainableModel trained(open(folder));
  std::vector<Parameter> parameters;
  for (const std::string& name : trained.parameters()) {
    const Tensor value = trained.tensor(name);
    parameters.push_back({.name = name, .value = value, .decay = value.rank() > 1});
  }
  Optimizer optimizer(parameters, AdamW{});
  const Tensor expected = batch.load("losses");
  for (int64_t step = 0; step < expected.numel(); ++step) {
    Tape tape;
    trained.watch(tape);
    const Tensor loss = loss_of(trained, batch);
    const float right = expected.data<float>()[step];
    EXPECT_NEAR(loss.data<float>()[0], right, 1e-4f * std::abs(right)) << "step " << step;
    const Gradients found = tape.backward(loss);
    std::vector<Tensor> gradients;
    for (const Parameter& parameter : parameters) gradients.push_back(found(parameter.value));
    clip_grad_norm(parameters, gradients, 1.0);
    optimizer.step(gradients, {.lr = 1e-4, .weight_decay = 0.05});
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LossesGolden, testing::ValuesIn(names_with("losses.safetensors")),
                         [](const auto& name) { return name.param; });

INSTANTIATE_TEST_SUITE_P(Models, GradientGolden,
                         testing::ValuesIn(names_with("gradients.safetensors")),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace ocelli
