// Whole models: the loss and the gradient of every parameter, as PyTorch has them
// (tools/goldens/gradients.py, gradients.safetensors beside a tiny model).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ocelli/backend/backend.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/trainable.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(OCELLI_SOURCE_DIR) / "tests" / "goldens";

std::vector<std::string> names_with_gradients() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (fs::exists(entry.path() / "gradients.safetensors")) {
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

Tensor classes(int64_t count) {
  const Tensor t = Tensor::empty({count}, DType::i32);
  for (int64_t i = 0; i < count; ++i) t.data<int32_t>()[i] = static_cast<int32_t>(i);
  return t;
}

// CLIP's loss, Radford et al. 2021, or SigLIP's where there is a bias.
Tensor contrastive(const TrainableModel& trained, const Tensor& images, const Tensor& texts) {
  const Tensor scale = exp(trained.tensor("logit_scale"));
  const Tensor logits = matmul(normalize(images), normalize(texts).transpose(0, 1)) * scale;
  const int64_t count = images.size(0);
  if (trained.tensors().contains("logit_bias")) {
    const Tensor same = Tensor::zeros({count, count});
    for (int64_t i = 0; i < count; ++i) same.data<float>()[i * count + i] = 1;
    return sigmoid_cross_entropy(logits + trained.tensor("logit_bias"), same);
  }
  const Tensor right = classes(count);
  return (cross_entropy(logits, right) + cross_entropy(logits.transpose(0, 1), right)) * 0.5f;
}

Tensor loss_of(const TrainableModel& trained, const Safetensors& inputs) {
  const Tensor pixels = contiguous(inputs.load("pixels").permute({0, 2, 3, 1}));
  const std::unique_ptr<Model> model = trained.build();
  if (!model->has_text()) {
    return cross_entropy(model->classify(pixels), to(inputs.load("labels"), DType::i32));
  }
  return contrastive(trained, model->embed_image(pixels),
                     model->embed_text(to(inputs.load("ids"), DType::i32), {}));
}

class GradientGolden : public testing::TestWithParam<std::string> {};

TEST_P(GradientGolden, EqualsPyTorch) {
  const fs::path folder = kFolder / GetParam();
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
}

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) sum += double{a.data<float>()[i]} * b.data<float>()[i];
  return sum;
}

TEST_P(GradientGolden, OfBf16PointTheSameWay) {
  const fs::path folder = kFolder / GetParam();
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

INSTANTIATE_TEST_SUITE_P(Models, GradientGolden, testing::ValuesIn(names_with_gradients()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace ocelli
