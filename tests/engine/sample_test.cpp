// Real weights on the photographs of imagenet1k-sample, from the file on: the accuracy of timm, and
// its embeddings (tools/goldens/sample.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ocelli/engine/evaluate.h"
#include "ocelli/formats/npy.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = OCELLI_SOURCE_DIR;

struct Case {
  const char* name;
  fs::path model;
  int64_t top1;  // of timm, which came to 481 for the ViT with Pillow 13
};

class Sample : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const fs::path photos = kRoot / ".data/imagenet1k-sample";
    for (const fs::path& path : {photos, GetParam().model}) {
      if (!fs::exists(path))
        GTEST_SKIP() << path << " is absent; `make test` puts it there from ../shared and PyPI";
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(photos)) files.push_back(entry.path());
    std::ranges::sort(files);
    // A name begins with the class: 0207_n02099601.jpg.
    for (const fs::path& file : files) {
      images_.paths.push_back(file.string());
      images_.class_of.push_back(static_cast<int64_t>(images_.classes.size()));
      images_.classes.push_back(std::to_string(std::stoll(file.filename().string())));
    }
    opened_ = open_model(GetParam().model.string(), {.precision = "f32"});
  }

  ClassImages images_;
  std::shared_ptr<const OpenModel> opened_;
};

TEST_P(Sample, HasTheAccuracyOfTheReference) {
  const Evaluation result = evaluate(Classifier(opened_), images_, {});
  EXPECT_EQ(result.count, 600);
  EXPECT_NEAR(result.top1, GetParam().top1, 1);
}

TEST_P(Sample, EmbedsAsTheReference) {
  const fs::path file =
      kRoot / "tests/engine/data" / (std::string("sample_") + GetParam().name + ".npy");
  const Tensor expected = to(read_npy(file), DType::f32);
  std::vector<std::string> paths;
  for (size_t i = 0; i < images_.paths.size(); i += 12) paths.push_back(images_.paths[i]);
  const ImageEmbeddings found = embed_images(*opened_, paths, {});
  ASSERT_EQ(found.rows.shape(), expected.shape());
  const int64_t width = expected.size(1);
  for (int64_t i = 0; i < expected.size(0); ++i) {
    double product = 0, length = 0;  // the rows of `found` have length 1
    for (int64_t j = 0; j < width; ++j) {
      const double e = expected.data<float>()[i * width + j];
      product += e * found.rows.data<float>()[i * width + j];
      length += e * e;
    }
    EXPECT_GE(product / std::sqrt(length), 0.99999) << paths[static_cast<size_t>(i)];
  }
}

INSTANTIATE_TEST_SUITE_P(
    Model, Sample,
    testing::Values(Case{"vit_tiny16", kRoot / "../shared/weights/vit_tiny_patch16_224", 482},
                    Case{"efficientnet_lite0", kRoot / "models/default", 520}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace ocelli
