// Folders that `ocelli quantize` writes: opened again they answer nearly as the model that they
// were made from, in the precision that they were quantised to.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "ocelli/base/file.h"
#include "ocelli/engine/quantize.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using backend::Precision;

const fs::path kSources = OCELLI_SOURCE_DIR;

std::vector<std::string> photographs() {
  std::vector<std::string> paths;
  for (const char* name : {"coffee.png", "chelsea.png", "rocket.jpg"})
    paths.push_back(kSources / "examples/images" / name);
  return paths;
}

// A golden without what it is compared with, as it would be published.
fs::path model(const std::string& name, const fs::path& folder) {
  const fs::path copy = folder / name;
  fs::create_directories(copy);
  for (const auto& entry : fs::directory_iterator(kSources / "tests/goldens" / name)) {
    if (entry.path().filename() != "expected.safetensors") fs::copy(entry.path(), copy);
  }
  return copy;
}

Tensor embed(const fs::path& folder, const std::string& precision) {
  const auto opened = open_model(folder.string(), {.precision = precision});
  const Tensor pixels = Tensor::empty({2, opened->input_size[0], opened->input_size[1], 3});
  for (int64_t i = 0; i < pixels.numel(); ++i)
    pixels.data<float>()[i] = std::sin(static_cast<float>(i) * 0.37f) + std::cos(i % 97 * 0.11f);
  return contiguous(opened->model->embed_image(pixels));
}

double worst_cosine(const Tensor& a, const Tensor& b) {
  double worst = 1;
  for (int64_t r = 0; r < a.size(0); ++r) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = r * a.size(1); i < (r + 1) * a.size(1); ++i) {
      const double p = a.data<float>()[i], q = b.data<float>()[i];
      ab += p * q, aa += p * p, bb += q * q;
    }
    worst = std::min(worst, ab / std::sqrt(aa * bb));
  }
  return worst;
}

class Quantize : public testing::TestWithParam<std::string> {
 protected:
  const TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_P(Quantize, OpensAsItWasQuantised) {
  const fs::path source = model(GetParam(), folder_);
  const Tensor exact = embed(source, "f32");
  const struct {
    Precision precision;
    double least;
  } cases[] = {{Precision::bf16, 0.999}, {Precision::int8, 0.99}, {Precision::int4, 0.9}};
  for (const auto [precision, least] : cases) {
    const std::string name = backend::precision_name(precision);
    const fs::path output = folder_ / (GetParam() + "_" + name);
    const QuantizeResult result = quantize(source, output, {.precision = precision});
    // Steps and names are as large as the channels of a tiny EfficientNet.
    if (!GetParam().starts_with("efficientnet")) {
      EXPECT_LT(fs::file_size(output / "model.safetensors"),
                fs::file_size(source / "model.safetensors"));
    }
    EXPECT_EQ(result.quantization.weights.empty(), precision == Precision::bf16);
    const auto opened = open_model(output.string());
    EXPECT_EQ(opened->precision.precision, precision);
    EXPECT_EQ(opened->weights.unused.size(), 0u);
    EXPECT_GE(worst_cosine(embed(output, "auto"), exact), least) << name;
    // In f32 the rounding of the weights alone is left.
    EXPECT_GE(worst_cosine(embed(output, "f32"), exact), least) << name;
  }
}

TEST_P(Quantize, Int8WeightsAreThoseThatAreRoundedAtLoad) {
  if (GetParam().starts_with("efficientnet")) GTEST_SKIP() << "norms are folded in between";
  const fs::path source = model(GetParam(), folder_);
  quantize(source, folder_ / "out", {});
  const Tensor there = embed(folder_ / "out", "int8"), loaded = embed(source, "int8");
  EXPECT_GE(worst_cosine(there, loaded), 0.99999);
}

TEST_P(Quantize, CalibrationMovesScalesIntoWeights) {
  const fs::path source = model(GetParam(), folder_);
  const QuantizeResult result = quantize(source, folder_ / "out", {.calibration = photographs()});
  EXPECT_EQ(result.quantization.images, 3);
  EXPECT_GE(result.quantization.worst_cosine, 0.98);
  if (!GetParam().starts_with("efficientnet")) {
    EXPECT_GT(result.quantization.smoothed, 0);
  }
  const auto read = ModelFolder::open(folder_ / "out").quantization;
  ASSERT_TRUE(read);
  EXPECT_EQ(read->to_json(), result.quantization.to_json());
}

TEST_P(Quantize, RangesOfCalibrationStay) {
  const fs::path source = model(GetParam(), folder_);
  const QuantizeResult result =
      quantize(source, folder_ / "out", {.calibration = photographs(), .fixed_ranges = true});
  EXPECT_FALSE(result.quantization.inputs.empty());
  EXPECT_GE(result.quantization.worst_cosine, 0.97);
  const auto read = ModelFolder::open(folder_ / "out").quantization;
  ASSERT_TRUE(read);
  EXPECT_EQ(read->to_json(), result.quantization.to_json());
  const std::string name = read->inputs.begin()->first;
  EXPECT_NE(&read->packer(name), &backend::cpu(Precision::int8));
}

TEST_P(Quantize, SearchKeepsWhatTheTargetNeeds) {
  const fs::path source = model(GetParam(), folder_);
  const auto with_target = [&](double target) {
    const fs::path output = folder_ / fmt::format("out{}", target);
    return quantize(source, output,
                    {.precision = Precision::int4,
                     .calibration = photographs(),
                     .search = true,
                     .target = target})
        .quantization;
  };
  const Quantization any = with_target(0), near = with_target(0.999);
  EXPECT_TRUE(any.kept.empty());
  EXPECT_FALSE(near.kept.empty());
  EXPECT_GE(near.worst_cosine, 0.999);
  // The first of those kept lost most.
  for (size_t i = 1; i < near.kept.size(); ++i)
    EXPECT_LE(near.kept[i - 1].second, near.kept[i].second);
}

INSTANTIATE_TEST_SUITE_P(Model, Quantize,
                         testing::Values("vit_timm_token", "vit_hf_classifier", "clip_hf", "siglip",
                                         "dinov2_hf", "dinov3_hf", "efficientnet_lite0"),
                         [](const auto& c) { return c.param; });

class BadQuantization : public testing::Test {
 protected:
  // Opens what was quantised and changed.
  void expect_error(const std::function<void(nlohmann::json&)>& change, const std::string& what) {
    nlohmann::json json = nlohmann::json::parse(read_file(output_ / "config.json"));
    change(json["quantization_config"]);
    const fs::path bad = folder_ / "bad";
    fs::remove_all(bad);
    fs::copy(output_, bad);
    write_file(bad / "config.json", json.dump());
    try {
      open_model(bad.string());
      ADD_FAILURE() << "no error: " << what;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  }

  void SetUp() override { quantize(model("vit_timm_token", folder_), output_, {}); }

  const TempFolder temporary_;
  const fs::path folder_ = temporary_.path(), output_ = folder_ / "out";
};

TEST_F(BadQuantization, IsAnErrorThatNamesIt) {
  constexpr auto kName = "blocks.0.attn.qkv.weight";
  expect_error([](auto& q) { q["quant_method"] = "gptq"; }, "quantised by 'gptq'");
  expect_error([](auto& q) { q["version"] = 2; }, "version 2");
  expect_error([](auto& q) { q["precision"] = "int3"; }, "'int3' is none of");
  expect_error([](auto& q) { q["group"] = 0; }, "a group of 0");
  expect_error([](auto& q) { q["weights"]["absent"] = {2, 2}; }, "need a tensor absent");
  expect_error([&](auto& q) { q["weights"][kName] = {1, 2}; }, kName);
  expect_error(
      [&](auto& q) {
        q["weights"][kName] = {int64_t{1} << 40, int64_t{1} << 40};
      },
      "no shape of a weight");
  expect_error([&](auto& q) { q["weights"][kName] = "96 x 32"; }, "wrong type");
  expect_error([&](auto& q) { q["weights"][kName] = {2.2e20, 2}; }, "wrong type");
  expect_error([](auto& q) { q["precision"] = "int4"; }, "quantised weights need u8");
  expect_error([&](auto& q) { q["inputs"][kName] = {1, 1}; }, "no range of inputs in int8");
  expect_error([&](auto& q) { q["inputs"][kName] = {1}; }, "wrong type");
  EXPECT_THROW(quantize(folder_ / "vit_timm_token", folder_ / "new", {.fixed_ranges = true}),
               Error);
  EXPECT_THROW(quantize(output_, folder_ / "twice", {}), Error);
  EXPECT_THROW(quantize(folder_ / "vit_timm_token", output_, {}), Error);
}

TEST_F(BadQuantization, LeavesNothingBehind) {
  const auto unreadable = std::vector<std::string>{(folder_ / "none.jpg").string()};
  EXPECT_THROW(quantize(folder_ / "vit_timm_token", folder_ / "new", {.calibration = unreadable}),
               Error);
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

}  // namespace
}  // namespace ocelli
