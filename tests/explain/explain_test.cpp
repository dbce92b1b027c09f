#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ocelli/base/error.h"
#include "ocelli/base/rng.h"
#include "ocelli/explain/maps.h"
#include "ocelli/explain/overlay.h"
#include "ocelli/explain/patch_pca.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/registry.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

// transformers' DINOv2 with registers: 1 class token, then registers, then patches.
class Explain : public testing::Test {
 protected:
  Explain() : folder(ModelFolder::open(kGolden / "model.safetensors")) {
    const Family& family = find_family(folder);
    model = family.load(folder, Weights(folder.checkpoint, {.rename = family.rename(folder)}));
    const Tensor both = expected.load("wide.pixels");  // [2, 3, H, W]
    pixels = contiguous(both.permute({0, 2, 3, 1})).slice(0, 0, 1);
    layout = model->token_layout().value();
    rows = pixels.size(1) / layout.patch;
    columns = pixels.size(2) / layout.patch;
  }

  // The reference's weight of image 0, [H, N, N].
  float weight(int64_t layer, int64_t head, int64_t i, int64_t j) {
    const Tensor all = contiguous(expected.load("wide.attention." + std::to_string(layer)));
    return all.data<float>()[(head * all.size(2) + i) * all.size(3) + j];
  }
  int64_t heads() { return expected.load("wide.attention.0").size(1); }
  int64_t tokens() { return expected.load("wide.attention.0").size(2); }

  const std::filesystem::path kGolden =
      std::filesystem::path(OCELLI_SOURCE_DIR) / "tests/goldens/dinov2_hf_registers";
  Safetensors expected{kGolden / "expected.safetensors"};
  ModelFolder folder;
  std::unique_ptr<Model> model;
  Tensor pixels;
  TokenLayout layout;
  int64_t rows = 0, columns = 0;
};

TEST_F(Explain, AttentionIsThatOfTheReference) {
  const Tensor one = attention_map(*model, pixels, 1, 1), last = attention_map(*model, pixels, -1);
  ASSERT_EQ(one.shape(), Shape({rows, columns}));
  ASSERT_NE(rows, columns);
  for (int64_t p = 0; p < rows * columns; ++p) {
    EXPECT_NEAR(one.data<float>()[p], weight(1, 1, 0, layout.prefix() + p), 1e-5);
    double sum = 0;
    for (int64_t h = 0; h < heads(); ++h)
      sum += weight(model->depth() - 1, h, 0, layout.prefix() + p);
    EXPECT_NEAR(last.data<float>()[p], sum / static_cast<double>(heads()), 1e-5);
  }
}

TEST_F(Explain, RolloutMultipliesTheBlocks) {
  const int64_t n = tokens();
  // A row vector through the blocks from the last to the first: another order than the one tested.
  std::vector<double> flow(static_cast<size_t>(n), 0);
  flow[0] = 1;
  for (int64_t layer = model->depth() - 1; layer >= 0; --layer) {
    std::vector<double> next(flow.size(), 0);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double mean = 0;
        for (int64_t h = 0; h < heads(); ++h) mean += weight(layer, h, i, j);
        mean /= static_cast<double>(heads());
        next[static_cast<size_t>(j)] += flow[static_cast<size_t>(i)] * (mean + (i == j)) / 2;
      }
    }
    flow = next;
  }
  const Tensor map = attention_rollout(*model, pixels);
  for (int64_t p = 0; p < rows * columns; ++p)
    EXPECT_NEAR(map.data<float>()[p], flow[static_cast<size_t>(layout.prefix() + p)], 1e-5);
}

TEST_F(Explain, APatchIsLikeItselfMost) {
  const Tensor patches = patch_features(*model, pixels);
  ASSERT_EQ(patches.shape(), Shape({rows, columns, model->embedding_size()}));
  const Tensor map = patch_similarity(patches, patches.select(0, 1).select(0, 2));
  const auto values = map.values<float>();
  EXPECT_NEAR(values[static_cast<size_t>(columns + 2)], 1, 1e-5);
  EXPECT_EQ(std::ranges::max_element(values) - values.begin(), columns + 2);
}

TEST_F(Explain, LayersAndHeadsThatAreNotThereAreNamed) {
  EXPECT_THROW(
      {
        try {
          attention_map(*model, pixels, 7);
        } catch (const Error& e) {
          EXPECT_NE(std::string(e.what()).find("layer 7: the model has"), std::string::npos);
          throw;
        }
      },
      Error);
  EXPECT_THROW(attention_map(*model, pixels, 0, 99), Error);
}

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
