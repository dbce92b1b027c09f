// Low-rank adaptation as PyTorch has it (tools/goldens/lora.py), and what it leaves behind.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ocelli/formats/safetensors.h"
#include "ocelli/models/trainable.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/optimizer.h"
#include "tests/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

TrainableModel open(const char* name) {
  return TrainableModel(ModelFolder::open(kGoldens / name / "model.safetensors"));
}

// With A and B as PyTorch had them.
struct Adapted {
  Adapted() : golden(kGoldens / "vit_hf_classifier" / "lora.safetensors") {
    model.add_lora({.rank = 4, .alpha = 6}, 1);
    for (const std::string& name : model.parameters()) {
      if (name.find(".lora_") == name.npos) continue;
      const Tensor value = golden.load(name), own = model.tensor(name);
      EXPECT_EQ(value.shape(), own.shape());
      std::memcpy(own.raw(), value.raw(), own.nbytes());
    }
    pixels = contiguous(golden.load("pixels").permute({0, 2, 3, 1}));
    labels = to(golden.load("labels"), DType::i32);
  }

  Safetensors golden;
  TrainableModel model = open("vit_hf_classifier");
  Tensor pixels, labels;
};

void expect_close(const Tensor& actual, const Tensor& expected, const std::string& name) {
  ASSERT_TRUE(actual.defined()) << name;
  ASSERT_EQ(actual.shape(), expected.shape()) << name;
  float largest = 0;
  for (const float x : expected.values<float>()) largest = std::max(largest, std::abs(x));
  EXPECT_GT(largest, 0) << name;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], 1e-4f * largest) << name;
  }
}

TEST(Lora, GradientsAndTwentyStepsEqualPyTorch) {
  const Adapted a;
  std::vector<Parameter> parameters;
  for (const std::string& name : a.model.parameters()) {
    const Tensor value = a.model.tensor(name);
    parameters.push_back({.name = name, .value = value, .decay = value.rank() > 1});
  }
  EXPECT_EQ(std::ssize(parameters), std::ranges::count_if(a.golden.tensors(), [](const auto& info) {
              return info.name.starts_with("grad.");
            }));
  Optimizer optimizer(parameters, AdamW{});
  const Tensor losses = a.golden.load("losses");
  for (int64_t step = 0; step < losses.numel(); ++step) {
    Tape tape;
    a.model.watch(tape);
    const Tensor loss = cross_entropy(a.model.build()->classify(a.pixels), a.labels);
    const float right = losses.data<float>()[step];
    EXPECT_NEAR(loss.data<float>()[0], right, 1e-4f * right) << "step " << step;
    const Gradients found = tape.backward(loss);
    std::vector<Tensor> gradients;
    for (const Parameter& p : parameters) {
      gradients.push_back(found(p.value));
      if (step == 0) expect_close(gradients.back(), a.golden.load("grad." + p.name), p.name);
    }
    clip_grad_norm(parameters, gradients, 1.0);
    optimizer.step(gradients, {.lr = 1e-3, .weight_decay = 0.05});
  }
}

TEST(Lora, ACheckpointHasTheProductInIt) {
  const TempFolder folder;
  const Adapted a;
  a.model.save(folder.path());
  const Tensor expected = a.model.build()->classify(a.pixels);
  expect_close(TrainableModel(ModelFolder::open(folder.path())).build()->classify(a.pixels),
               expected, "merged");
  TrainableModel again = open("vit_hf_classifier");
  again.add_lora({.rank = 4, .alpha = 6}, 2);
  again.load(folder.path());
  EXPECT_TRUE(std::ranges::equal(again.build()->classify(a.pixels).values<float>(),
                                 expected.values<float>()));
  TrainableModel other = open("vit_hf_classifier");
  other.add_lora({.rank = 3}, 2);
  EXPECT_THROW(other.load(folder.path()), Error);
}

TEST(Lora, BeginsAsTheModelItself) {
  TrainableModel model = open("vit_timm_reg4");
  const Tensor pixels = Tensor::full({1, 32, 32, 3}, 0.5f);
  const Tensor before = model.build()->classify(pixels);
  model.add_lora({.rank = 2}, 1);
  EXPECT_TRUE(
      std::ranges::equal(model.build()->classify(pixels).values<float>(), before.values<float>()));
  EXPECT_EQ(model.tensor("blocks.0.attn.qkv.weight.lora_A").shape(), (Shape{2, 32}));
}

TEST(Lora, NamesWhatItDoesNotFind) {
  const auto complaint = [](const char* name, const LoraOptions& options) -> std::string {
    try {
      open(name).add_lora(options, 1);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(complaint("vit_timm_reg4", {.targets = {"*qkv.weight", "*nowhere*"}}).find("*nowhere*"),
            std::string::npos);
  EXPECT_NE(complaint("vit_timm_reg4", {.targets = {"*qkv.bias"}}).find("*qkv.bias"),
            std::string::npos);
  EXPECT_NE(complaint("efficientnet_b0", {}).find("lora.targets"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
