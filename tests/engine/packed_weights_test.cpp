// Folders of `ocelli convert --packed`: the same answers, from weights that nobody packs again.
#include "ocelli/engine/packed_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "ocelli/base/file.h"
#include "ocelli/engine/convert.h"
#include "ocelli/engine/open.h"
#include "ocelli/engine/quantize.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

const fs::path kGoldens = fs::path(OCELLI_SOURCE_DIR) / "tests/goldens";

std::vector<float> embedding(const OpenModel& opened) {
  const Tensor pixels = Tensor::empty({1, opened.input_size[0], opened.input_size[1], 3});
  for (int64_t i = 0; i < pixels.numel(); ++i)
    pixels.data<float>()[i] = std::sin(static_cast<float>(i) * 0.37f);
  const auto values = contiguous(opened.model->embed_image(pixels)).values<float>();
  return {values.begin(), values.end()};
}

bool is_packed(const OpenModel& opened) {
  return opened.precision.reason.ends_with("packed before");
}

// `folder` with a file of packed weights in `precision`.
void make_packed(const fs::path& model, const fs::path& folder, const std::string& precision) {
  convert(model, folder, {});
  EXPECT_GT(pack(folder, precision), 0);
}

class Packed : public testing::TestWithParam<std::string> {};

TEST_P(Packed, AnswersInTheSameBits) {
  const TempFolder folder;
  for (const std::string precision : {"f32", "bf16", "int8", "int4"}) {
    const fs::path quick = folder / precision;
    make_packed(kGoldens / GetParam(), quick, precision);
    const auto opened = open_model(quick.string(), {.precision = precision}),
               plain = open_model((kGoldens / GetParam()).string(), {.precision = precision});
    EXPECT_TRUE(is_packed(*opened)) << precision;
    EXPECT_FALSE(is_packed(*plain));
    EXPECT_EQ(embedding(*opened), embedding(*plain)) << precision;
    EXPECT_EQ(opened->parameters, plain->parameters);
    EXPECT_TRUE(opened->weights.unused.empty());
    EXPECT_EQ(fingerprint(*opened), fingerprint(*plain));
  }
}

INSTANTIATE_TEST_SUITE_P(Model, Packed,
                         testing::Values("vit_timm_token", "vit_hf_classifier", "clip_hf",
                                         "dinov2_hf", "efficientnet_lite0"),
                         [](const auto& c) { return c.param; });

TEST(PackedWeights, CountTheBytesThatAProductReads) {
  const TempFolder folder;
  for (const std::string precision : {"bf16", "int8", "int4"}) {
    const fs::path quick = folder / precision;
    make_packed(kGoldens / "vit_timm_token", quick, precision);
    std::map<Weights::Names, int64_t> bytes;
    const auto opened = open_model(
        quick.string(), {.precision = precision,
                         .keep = [&](const Weights::Names& names, const backend::Packed& packed) {
                           bytes[names] = packed.bytes;
                         }});
    const auto ready = open_packed(quick, [&] { return packed_for(*opened); });
    ASSERT_TRUE(ready);
    for (const auto& [names, count] : bytes) EXPECT_EQ(ready->find(names)->bytes, count);
    EXPECT_FALSE(bytes.empty());
  }
}

TEST(PackedWeights, AreOfAQuantisedFolderToo) {
  const TempFolder folder;
  const fs::path photo = fs::path(OCELLI_SOURCE_DIR) / "examples/images/coffee.png";
  quantize(kGoldens / "vit_timm_token", folder / "int8",
           {.calibration = {photo.string()}, .fixed_ranges = true});
  make_packed(folder / "int8", folder / "quick", "");
  const auto opened = open_model((folder / "quick").string()),
             plain = open_model((folder / "int8").string());
  EXPECT_TRUE(is_packed(*opened));
  EXPECT_EQ(embedding(*opened), embedding(*plain));
  EXPECT_FALSE(is_packed(*open_model((folder / "quick").string(), {.precision = "int8"})));
}

TEST(PackedWeights, OfOthersArePassedOver) {
  const TempFolder folder;
  const fs::path quick = folder / "quick";
  make_packed(kGoldens / "vit_timm_token", quick, "bf16");
  EXPECT_FALSE(is_packed(*open_model(quick.string(), {.precision = "f32"})));
  std::string weights = read_file(quick / "model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, weights.data(), sizeof header);
  weights[8 + header] ^= 1;
  write_file(quick / "model.safetensors", weights);
  EXPECT_FALSE(is_packed(*open_model(quick.string(), {.precision = "bf16"})));  // newer
  fs::last_write_time(quick / "packed.safetensors", fs::file_time_type::clock::now());
  EXPECT_FALSE(is_packed(*open_model(quick.string(), {.precision = "bf16"})));
  EXPECT_GT(pack(quick, "bf16"), 0);
  EXPECT_TRUE(is_packed(*open_model(quick.string(), {.precision = "bf16"})));
}

TEST(PackedWeights, ThatAreDamagedAreAnErrorThatNamesTheFile) {
  const TempFolder folder;
  const fs::path quick = folder / "quick", file = quick / "packed.safetensors";
  make_packed(kGoldens / "vit_timm_token", quick, "int8");
  const std::string whole = read_file(file);
  const auto expect_error = [&](const std::string& from, const std::string& to,
                                const std::string& what) {
    std::string text = whole;
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    write_file(file, text);
    try {
      open_model(quick.string(), {.precision = "int8"});
      ADD_FAILURE() << "no error: " << what;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(file.string()), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  // Of the same length, as the header's is said before it.
  expect_error(R"(\"n\":96)", R"(\"n\":97)", "has panels of another size");
  expect_error(R"(\"precision\":\"int8\")", R"(\"precision\":\"int9\")", "no precision");
  expect_error(R"(\"names\":[)", R"(\"names\":{)", "lists no weights");
  write_file(file, whole.substr(0, whole.size() / 2));
  EXPECT_THROW(open_model(quick.string(), {.precision = "int8"}), Error);
  write_file(file, whole);
  EXPECT_TRUE(is_packed(*open_model(quick.string(), {.precision = "int8"})));
}

}  // namespace
}  // namespace ocelli
