// Every folder of tests/goldens is a tiny model as its library saved it, with inputs and outputs in
// expected.safetensors (tools/goldens). Each is opened as a user's would be, and must give the
// same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "ocelli/backend/backend.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/image/decode.h"
#include "ocelli/models/registry.h"
#include "ocelli/ops/attention.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/convert.h"
#include "tests/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens)) {
    if (fs::exists(entry.path() / "expected.safetensors")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// ModelFolder wants one checkpoint beside expected.safetensors, which is not part of the model.
fs::path checkpoint_of(const fs::path& folder) {
  for (const char* name : {"model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors",
                           "checkpoint.pth", "model.pt"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return folder;
}

Tensor channels_last(const Tensor& t) {
  return contiguous(t.permute({0, 2, 3, 1}));
}

void expect_close(const Tensor& actual, const Tensor& expected, const std::string& what) {
  // Feature maps: ours are channels last.
  const Tensor e = expected.rank() == 4 ? channels_last(expected) : contiguous(expected);
  ASSERT_EQ(actual.shape(), e.shape()) << what;
  const Tensor a = contiguous(actual);
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    largest = std::max(largest, std::abs(double{e.data<float>()[i]}));
    difference = std::max(difference, std::abs(double{e.data<float>()[i]} - a.data<float>()[i]));
  }
  EXPECT_LE(difference, 1e-4 * largest) << what;
}

// softmax(q k^T) of one block, [B, H, N, N], as the reference's output_attentions.
Tensor attention_of(const Model& model, const Tensor& pixels, int64_t layer) {
  Tensor weights;
  const AttentionObserver observer(
      [&](int64_t call, const Tensor& q, const Tensor& k, const AttentionOptions& options) {
        if (call == layer) weights = attention_weights(q, k, options);
      });
  model.embed_image(pixels);
  return weights;
}

// Not feature maps: nothing is to be permuted.
Tensor flattened(const Tensor& t) {
  const Tensor c = contiguous(t);
  return c.view({c.numel()});
}

struct Opened {
  ModelFolder folder;
  std::unique_ptr<Model> model;
};

Opened open(const fs::path& path) {
  Opened result{ModelFolder::open(checkpoint_of(path)), nullptr};
  const Family& family = find_family(result.folder);
  const Weights weights(result.folder.checkpoint, {.rename = family.rename(result.folder)});
  result.model = family.load(result.folder, weights);
  const WeightsReport report = weights.report();
  EXPECT_TRUE(report.unused.empty())
      << path.filename() << ": " << report.unused.front() << " is not used";
  return result;
}

// Of the ids in the file, with the mask of their padding where there is one.
Tensor embed_text(const Model& model, const Safetensors& file, const std::string& input) {
  const std::string mask = input + ".attention_mask";
  const bool padded = std::ranges::any_of(
      file.tensors(), [&](const TensorInfo& info) { return info.name == mask; });
  return model.embed_text(to(file.load(input + ".ids"), DType::i32),
                          padded ? to(file.load(mask), DType::u8) : Tensor());
}

void compare(const std::string& name) {
  const fs::path path = kGoldens / name;
  const Safetensors expected(path / "expected.safetensors");
  const Opened opened = open(path);
  const Model& model = *opened.model;
  std::map<std::string, Tensor> inputs;
  int compared = 0;
  for (const TensorInfo& info : expected.tensors()) {
    if (info.name.ends_with(".pixels"))
      inputs[info.name.substr(0, info.name.find('.'))] = channels_last(expected.load(info.name));
  }
  if (fs::exists(path / "photo.png")) {
    const Image photo = decode_image_file(path / "photo.png");
    const ImageProcessor& processor = model.image_processor();
    inputs["photo"] = preprocess(processor, photo).unsqueeze(0);
    inputs["photo24x56"] = preprocess(processor.with_size(24, 56), photo).unsqueeze(0);
  }
  for (const TensorInfo& info : expected.tensors()) {
    const size_t dot = info.name.find('.');
    const std::string input = info.name.substr(0, dot), what = info.name.substr(dot + 1);
    const std::string place = name + ": " + info.name;
    if (what == "pixels" || what == "ids" || what == "mask" || what == "attention_mask") continue;
    const Tensor value = expected.load(info.name);
    const auto number = [&] { return std::stoi(what.substr(what.find('.') + 1)); };
    if (what == "logits")
      expect_close(model.classify(inputs.at(input)), value, place);
    else if (what == "embedding")
      expect_close(model.embed_image(inputs.at(input)), value, place);
    else if (what.starts_with("features."))
      expect_close(model.features(inputs.at(input), {.layers = {number()}})[0], value, place);
    else if (what.starts_with("attention.")) {
      const Tensor weights = attention_of(model, inputs.at(input), number());
      ASSERT_EQ(weights.shape(), value.shape()) << place;
      expect_close(flattened(weights), flattened(value), place);
    } else if (what == "tokens") {
      const Tensor mask = expected.load(input + ".mask");
      const auto tokens =
          model.features(inputs.at(input), {.layers = {-1}, .norm = true, .mask = mask});
      expect_close(tokens[0], value, place);
    } else if (what == "patch_embeddings")
      expect_close(model.embed_patches(inputs.at(input)), value, place);
    else if (what == "text_embedding") {
      expect_close(embed_text(model, expected, input), value, place);
    } else if (what == "scale") {
      EXPECT_NEAR(model.similarity().scale, value.data<float>()[0], 1e-4 * value.data<float>()[0])
          << place;
    } else if (what == "bias") {
      EXPECT_NEAR(model.similarity().bias, value.data<float>()[0], 1e-5) << place;
    } else {
      ADD_FAILURE() << place << " is compared with nothing";
    }
    ++compared;
  }
  EXPECT_GT(compared, 0) << name;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, CpuBackendEqualsTheReferenceLibrary) {
  compare(GetParam());
}

TEST_P(Golden, ReferenceBackendEqualsTheReferenceLibrary) {
  backend::UseBackend scope(backend::reference());
  compare(GetParam());
}

// The least cosine of two tensors' rows.
double least_cosine(const Tensor& a, const Tensor& b) {
  const int64_t n = a.size(-1);
  double least = 1;
  for (int64_t r = 0; r < a.numel() / n; ++r) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = r * n; i < (r + 1) * n; ++i) {
      const double p = a.data<float>()[i], q = b.data<float>()[i];
      ab += p * q, aa += p * p, bb += q * q;
    }
    least = std::min(least, ab / std::sqrt(aa * bb));
  }
  return least;
}

// What a model answers to the inputs of its golden, by the names there.
std::map<std::string, Tensor> answers(const std::string& name, backend::Precision precision) {
  const backend::UseBackend scope(backend::cpu(precision));
  const Safetensors expected(kGoldens / name / "expected.safetensors");
  const Opened opened = open(kGoldens / name);
  std::map<std::string, Tensor> results;
  for (const TensorInfo& info : expected.tensors()) {
    const std::string input = info.name.substr(0, info.name.find('.'));
    if (info.name.ends_with(".text_embedding")) {
      results[info.name] = contiguous(embed_text(*opened.model, expected, input));
    }
    const bool logits = info.name.ends_with(".logits");
    const auto& infos = expected.tensors();
    const bool pixels = std::ranges::any_of(
        infos, [&](const TensorInfo& i) { return i.name == input + ".pixels"; });
    if (!pixels || (!logits && !info.name.ends_with(".embedding"))) continue;
    const Tensor x = channels_last(expected.load(input + ".pixels"));
    results[info.name] =
        contiguous(logits ? opened.model->classify(x) : opened.model->embed_image(x));
  }
  return results;
}

// Models of width 32 and random weights lose more than real ones: what docs/accuracy.md says of
// those is not checked here, but that every family computes the same in each precision.
TEST_P(Golden, OtherPrecisionsComeNearF32) {
  const auto exact = answers(GetParam(), backend::Precision::f32);
  const auto bf16 = answers(GetParam(), backend::Precision::bf16);
  const auto int8 = answers(GetParam(), backend::Precision::int8);
  const auto int4 = answers(GetParam(), backend::Precision::int4);
  for (const auto& [what, value] : exact) {
    EXPECT_GE(least_cosine(int4.at(what), value), 0.6) << what;
    EXPECT_GE(least_cosine(bf16.at(what), value), 0.999) << what;
    EXPECT_GE(least_cosine(int8.at(what), value), 0.99) << what;
  }
}

INSTANTIATE_TEST_SUITE_P(Case, Golden, testing::ValuesIn(cases()),
                         [](const auto& c) { return c.param; });

// The other tokens of a last block are computed for those who look at attention.
TEST(GoldenSet, OfALastBlockTheClassTokenIsEnough) {
  for (const char* name : {"vit_timm_token", "vit_timm_dinov2_swiglu", "vit_hf_deit_teacher",
                           "dinov2_hf", "dinov3_hf", "clip_hf"}) {
    const Opened opened = open(kGoldens / name);
    const auto [height, width] = opened.model->native_size();
    const Tensor pixels = Tensor::full({2, height, width, 3}, 0.3f);
    const auto flops_of = [&](Tensor& embedding) {
      const FlopCounter flops;
      embedding = opened.model->embed_image(pixels);
      return flops.total();
    };
    Tensor embedding, watched;
    const int64_t some = flops_of(embedding);
    const AttentionObserver observer([](auto&&...) {});
    EXPECT_LT(some, flops_of(watched)) << name;
    expect_close(embedding, watched, name);
  }
}

TEST(GoldenSet, EveryFamilyHasOne) {
  std::map<std::string, int> count;
  for (const std::string& name : cases())
    ++count[find_family(ModelFolder::open(checkpoint_of(kGoldens / name))).name];
  for (const Family* family : families()) EXPECT_GT(count[family->name], 0) << family->name;
}

}  // namespace
}  // namespace ocelli
