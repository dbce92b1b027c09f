// The image processors of transformers, timm and open_clip, on non-square images.
#include "ocelli/image/preprocess.h"

#include <cmath>
#include <cstring>

#include "ocelli/base/file.h"
#include "tests/image/support.h"

namespace ocelli {
namespace {

using nlohmann::json;

ImageProcessor processor_of(const json& c) {
  if (c["kind"] == "transformers") return ImageProcessor::from_transformers(c["config"], "golden");
  if (c["kind"] == "timm") return ImageProcessor::from_timm(c["config"], "golden");
  return ImageProcessor::from_open_clip(c["config"], c["height"], c["width"], "golden");
}

class Processors : public testing::TestWithParam<json> {};

TEST_P(Processors, AsTheReference) {
  const json& c = GetParam();
  static const std::string numbers = read_file(golden("processors.bin"));
  const Image image = noise_image(c["image"][0], c["image"][1], c["image"][0]);
  const ImageProcessor processor = processor_of(c);
  const Tensor got = preprocess(processor, image);
  ASSERT_EQ(got.shape(), (Shape{c["size"][0], c["size"][1], 3})) << c.dump();
  size_t at = c["offset"].get<size_t>() * 4;
  double worst = 0;
  for (int64_t i = 0; i < got.numel(); i += c["step"].get<int64_t>(), at += 4) {
    float want = 0;
    std::memcpy(&want, numbers.data() + at, 4);
    worst = std::max(
        worst, std::abs(double{got.data<float>()[i]} - want) / std::max(1.0f, std::abs(want)));
  }
  EXPECT_LE(worst, 1e-6) << c.dump();
  if (processor.resize == ImageProcessor::Resize::none &&
      processor.crop == ImageProcessor::Crop::none)
    return;
  std::vector<float> batch(static_cast<size_t>(got.numel()));
  preprocess_into(processor, image, batch.data());
  EXPECT_EQ(std::memcmp(batch.data(), got.raw(), got.nbytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(Golden, Processors,
                         testing::ValuesIn(golden_json("processors.json").get<std::vector<json>>()),
                         [](const auto& test) {
                           return test.param["kind"].template get<std::string>() + "_" +
                                  std::to_string(test.index);
                         });

TEST(Preprocess, OtherSizesKeepTheRatioOfResizeAndCrop) {
  const json config = {{"input_size", {3, 224, 224}}, {"crop_pct", 0.875}};
  const ImageProcessor wide = ImageProcessor::from_timm(config, "f").with_size(112, 168);
  EXPECT_EQ(wide.output_size(), (std::array<int64_t, 2>{112, 168}));
  EXPECT_EQ(wide.resize_height, 128);
  EXPECT_EQ(wide.resize_width, 192);
  const Tensor out = preprocess(wide, noise_image(50, 200, 1));
  EXPECT_EQ(out.shape(), (Shape{112, 168, 3}));
}

TEST(Preprocess, BatchesHaveOneSize) {
  ImageProcessor processor;
  processor.resize = ImageProcessor::Resize::shortest;
  std::vector<float> out(224 * 224 * 3);
  expect_error(ErrorCode::invalid_argument, {"20 x 10", "448 x 224"},
               [&] { preprocess_into(processor, noise_image(10, 20, 1), out.data()); });
}

TEST(Preprocess, WrongFieldsAreNamed) {
  const auto refused = [](const json& config, std::initializer_list<std::string> parts) {
    expect_error(ErrorCode::corrupt_data, parts,
                 [&] { ImageProcessor::from_transformers(config, "p.json"); });
  };
  refused({{"size", "big"}}, {"p.json", "'size'", "big"});
  refused({{"size", {{"height", -3}, {"width", 4}}}}, {"'size'", "-3"});
  refused({{"size", {{"height", 1e9}, {"width", 4}}}}, {"'size'"});
  refused({{"size", {{"shortest_edge", 3}, {"longest_edge", 4}}}}, {"'size'"});
  refused({{"do_resize", "yes"}}, {"'do_resize'", "yes"});
  refused({{"resample", 9}}, {"'resample'", "9"});
  refused({{"image_mean", {1, 2}}}, {"'image_mean'", "three"});
  refused({{"image_std", {1, 0, 1}}}, {"'image_std'"});
  refused({{"crop_size", {{"height", 4}}}}, {"'crop_size'"});
  refused({{"crop_pct", 0.0001}, {"size", {{"shortest_edge", 224}}}}, {"'crop_pct'"});
  refused(json::array({1}), {"p.json"});
  expect_error(ErrorCode::corrupt_data, {"t.json", "input_size"}, [] {
    ImageProcessor::from_timm({{"input_size", {3, 224}}}, "t.json");
  });
  expect_error(ErrorCode::corrupt_data, {"t.json", "crop_mode", "fold"}, [] {
    ImageProcessor::from_timm({{"crop_mode", "fold"}}, "t.json");
  });
  expect_error(ErrorCode::corrupt_data, {"o.json", "resize_mode", "fold"}, [] {
    ImageProcessor::from_open_clip({{"resize_mode", "fold"}}, 224, 224, "o.json");
  });
}

}  // namespace
}  // namespace ocelli
