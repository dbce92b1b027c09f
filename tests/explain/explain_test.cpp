#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ocelli/base/error.h"
#include "ocelli/base/rng.h"
#include "ocelli/engine/embed.h"
#include "ocelli/explain/maps.h"
#include "ocelli/explain/overlay.h"
#include "ocelli/explain/patch_pca.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

// Maps from the attention and patches of transformers' models (tools/goldens/explain.py).
class Explain : public testing::TestWithParam<std::string> {
 protected:
  static const inline std::filesystem::path kGoldens =
      std::filesystem::path(OCELLI_SOURCE_DIR) / "tests/goldens";

  // [1, H, W, 3]
  Tensor pixels(int image) const {
    const Tensor planes = expected.load(fmt::format("{}.pixels", image));
    return contiguous(planes.permute({0, 2, 3, 1}));
  }

  // [rows, columns, C], of length 1.
  Tensor patches(int image) const {
    return feature_pixels(*opened, pixels(image), Features::patch).select(0, 0);
  }

  void expect_golden(const Tensor& actual, const std::string& name) const {
    const Tensor golden = expected.load(name);
    ASSERT_EQ(actual.shape(), golden.shape()) << name;
    const auto a = actual.values<float>(), g = golden.values<float>();
    float largest = 0, difference = 0;
    for (size_t i = 0; i < g.size(); ++i) {
      largest = std::max(largest, std::abs(g[i]));
      difference = std::max(difference, std::abs(a[i] - g[i]));
    }
    EXPECT_LE(difference, 1e-4f * largest) << name;
  }

  std::shared_ptr<const OpenModel> opened =
      open_model((kGoldens / GetParam() / "model.safetensors").string(), {.precision = "f32"});
  const Model& model = *opened->model;
  Safetensors expected{kGoldens / "explain" / (GetParam() + ".safetensors")};
};

TEST_P(Explain, AttentionIsThatOfTheReference) {
  for (int image = 0; image < 2; ++image) {
    for (int layer = 0; layer < model.depth(); ++layer) {
      const auto name = [&](const std::string& head) {
        return fmt::format("{}.attention.{}.{}", image, layer, head);
      };
      expect_golden(attention_map(model, pixels(image), layer), name("mean"));
      expect_golden(attention_map(model, pixels(image), layer - model.depth()), name("mean"));
      for (int head = 0; head < 2; ++head)
        expect_golden(attention_map(model, pixels(image), layer, head), name(std::to_string(head)));
    }
  }
}

TEST_P(Explain, RolloutIsThatOfTheReference) {
  for (int image = 0; image < 2; ++image)
    expect_golden(attention_rollout(model, pixels(image)), fmt::format("{}.rollout", image));
}

TEST_P(Explain, ColoursOfPatchesAreThoseOfTheReference) {
  const std::vector<Tensor> both = {patches(0), patches(1)};
  for (const bool whole : {false, true}) {
    const auto colours = patch_pca(both, whole);
    for (int image = 0; image < 2; ++image) {
      expect_golden(colours[static_cast<size_t>(image)],
                    fmt::format("{}.{}", image, whole ? "whole" : "pca"));
    }
  }
}

TEST_P(Explain, APatchIsLikeItselfMost) {
  const Tensor all = patches(0);
  const Tensor map = patch_similarity(all, all.select(0, 1).select(0, 2));
  const auto values = map.values<float>();
  const auto own = static_cast<size_t>(all.size(1) + 2);
  EXPECT_NEAR(values[own], 1, 1e-5);
  EXPECT_EQ(std::ranges::max_element(values) - values.begin(), std::ptrdiff_t(own));
}

TEST_P(Explain, LayersAndHeadsThatAreNotThereAreNamed) {
  try {
    attention_map(model, pixels(0), 7);
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("layer 7: the model has"), std::string::npos);
  }
  EXPECT_THROW(attention_map(model, pixels(0), 0, 99), Error);
}

INSTANTIATE_TEST_SUITE_P(Golden, Explain,
                         testing::Values("dinov2_hf_registers", "vit_hf_model", "clip_hf_vision",
                                         "siglip"));

TEST(Occlusion, FindsWhatTheScoreLooksAt) {
  const Tensor pixels = Tensor::full({1, 32, 64, 3}, 1);
  const auto score = [](const Tensor& x) {  // pixel (12, 40)
    return contiguous(x.select(1, 12).select(1, 40).select(1, 0));
  };
  const Tensor map = occlusion(pixels, score, {.cells = 8, .batch = 3});
  for (int64_t row = 0; row < 8; ++row) {
    for (int64_t column = 0; column < 8; ++column) {
      // Cells are 4 x 8; a square reaches half a cell beyond its own.
      const bool covers =
          row * 4 - 2 <= 12 && 12 < row * 4 + 6 && column * 8 - 4 <= 40 && 40 < column * 8 + 12;
      EXPECT_EQ(map.data<float>()[row * 8 + column], covers ? 1 : 0) << row << " " << column;
    }
  }
}

// A dark border around an object whose patches differ along three known axes, unlike in strength.
TEST(PatchPca, FindsTheObjectAndItsAxes) {
  Rng rng(7);
  const auto uniform = [&] { return static_cast<float>(rng.uniform()) * 2 - 1; };
  std::vector<Tensor> images;
  std::vector<std::array<float, 3>> truth;
  for (int image = 0; image < 2; ++image) {
    const Tensor patches = Tensor::zeros({10, 12, 8});
    for (int64_t i = 0; i < 120; ++i) {
      float* p = patches.data<float>() + 8 * i;
      const int64_t y = i / 12, x = i % 12;
      const bool object = y >= 3 && y < 7 && x >= 3 && x < 9;
      p[0] = object ? 20.0f : -5.0f;
      truth.push_back({uniform(), uniform(), uniform()});
      if (object) {
        p[3] = 4 * truth.back()[0];
        p[5] = 2 * truth.back()[1];
        p[6] = 1 * truth.back()[2];
      }
    }
    images.push_back(patches);
  }
  const auto colors = patch_pca(images);
  ASSERT_EQ(colors.size(), 2u);
  std::array<double, 3> products{}, squares{}, others{};
  for (int64_t i = 0; i < 240; ++i) {
    const float* c = colors[static_cast<size_t>(i / 120)].data<float>() + i % 120 * 3;
    const int64_t y = i % 120 / 12, x = i % 12;
    const bool object = y >= 3 && y < 7 && x >= 3 && x < 9;
    for (size_t k = 0; k < 3; ++k) {
      if (!object) {
        EXPECT_EQ(c[k], 0);
        continue;
      }
      const double a = c[k] - 0.5, b = truth[static_cast<size_t>(i)][k];
      products[k] += a * b;
      squares[k] += a * a;
      others[k] += b * b;
    }
  }
  for (size_t k = 0; k < 3; ++k)
    EXPECT_GT(std::abs(products[k]) / std::sqrt(squares[k] * others[k]), 0.9) << k;
}

TEST(Overlay, PutsTheMapWhereTheModelLooked) {
  const Image photo{Tensor::zeros({40, 80, 3}, DType::u8), "png"};
  std::ranges::fill(photo.pixels.values<uint8_t>(), uint8_t{100});
  const ImageProcessor centre{.resize = ImageProcessor::Resize::shortest,
                              .resize_height = 20,
                              .resize_width = 20,
                              .crop = ImageProcessor::Crop::floor,
                              .crop_height = 20,
                              .crop_width = 20};
  const SeenPart seen = seen_part(centre, 40, 80);
  EXPECT_EQ(seen.left, 20);
  EXPECT_EQ(seen.top, 0);
  EXPECT_EQ(seen.height, 40);
  EXPECT_EQ(seen.width, 40);
  const Tensor map = Tensor::zeros({2, 2});
  map.data<float>()[1] = 1;  // top right
  const Image out = overlay(photo, map, seen);
  const auto at = [&](int64_t y, int64_t x) { return out.data() + (y * 80 + x) * 3; };
  EXPECT_EQ(int{at(5, 5)[0]}, 35);    // outside: darkened
  EXPECT_GT(int{at(5, 55)[0]}, 180);  // the bright patch
  EXPECT_LT(int{at(35, 25)[0]}, 60);  // a dark one
  EXPECT_EQ(at(5, 25)[0], at(35, 25)[0]);
}

}  // namespace
}  // namespace ocelli
