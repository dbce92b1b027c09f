#include "ocelli/models/new_weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/models/trainable.h"
#include "tests/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

class NewWeights : public testing::Test {
 protected:
  // A folder with the configuration of a golden, without its weights.
  fs::path without_weights(const std::string& golden) {
    write_file(folder_ / "config.json", read_file(kGoldens / golden / "config.json"));
    return folder_;
  }
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::path(testing::TempDir()) / fmt::format("new_weights_{}", ::getpid());
};

class NewWeightsOf : public NewWeights, public testing::WithParamInterface<const char*> {};

// By name and shape what transformers has saved.
TEST_P(NewWeightsOf, AreTheTensorsOfTransformers) {
  const ModelFolder begun = open_or_begin(without_weights(GetParam()), 1);
  const ModelFolder saved = ModelFolder::open(kGoldens / GetParam() / "model.safetensors");
  const auto shapes = [](const ModelFolder& folder) {
    std::set<std::string> all;
    for (const TensorInfo& info : folder.checkpoint->tensors()) {
      all.insert(fmt::format("{} {}", info.name, info.shape));
    }
    return all;
  };
  std::set<std::string> expected = shapes(saved);
  const bool text = saved.type() == "bert";
  std::erase_if(expected, [&](const std::string& name) {  // of BERT a leftover, never used
    return !text && name.find("pooler.") != std::string::npos;
  });
  EXPECT_EQ(shapes(begun), expected);
  EXPECT_NO_THROW(TrainableModel(begun).build());
}

INSTANTIATE_TEST_SUITE_P(Models, NewWeightsOf,
                         testing::Values("vit_hf_classifier", "vit_hf_model", "dinov2_hf",
                                         "dinov2_hf_classifier", "dinov2_hf_registers",
                                         "dinov2_hf_swiglu", "clip_hf", "bert_hf"),
                         [](const auto& name) { return name.param; });

TEST_F(NewWeights, AreAFunctionOfTheSeed) {
  const fs::path folder = without_weights("dinov2_hf");
  const std::string name = "encoder.layer.1.mlp.fc1.weight";
  const auto values = [&](uint64_t seed) {
    const Tensor t = open_or_begin(folder, seed).checkpoint->load(name);
    return std::vector<float>(t.values<float>().begin(), t.values<float>().end());
  };
  EXPECT_EQ(values(3), values(3));
  EXPECT_NE(values(3), values(4));
  double squares = 0;
  for (const float x : values(3)) squares += double{x} * x;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(values(3).size())), 0.02, 0.002);
}

TEST_F(NewWeights, NameWhatCannotBe) {
  const auto message = [&](const std::string& config) -> std::string {
    write_file(folder_ / "config.json", config);
    try {
      open_or_begin(folder_, 1);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message(R"({"model_type": "swin"})").find("'swin'"), std::string::npos);
  EXPECT_NE(message(R"({"model_type": "vit", "hidden_size": -3})").find("hidden_size"),
            std::string::npos);
  EXPECT_NE(message(R"({"model_type": "dinov2", "image_size": 8})").find("patch_size"),
            std::string::npos);
  fs::remove(folder_ / "config.json");
  EXPECT_THROW(open_or_begin(folder_, 1), Error);
}

}  // namespace
}  // namespace ocelli
