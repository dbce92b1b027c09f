// CoOp and Tip-Adapter as PyTorch has them (tools/goldens/prompts.py), and what they refuse.
#include "ocelli/train/prompts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "ocelli/formats/safetensors.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "tests/support.h"

namespace ocelli {
namespace {

void expect_like(const Tensor& actual, const Tensor& expected) {
  ASSERT_TRUE(actual.defined());
  ASSERT_EQ(actual.shape(), expected.shape());
  float largest = 0;
  for (const float x : expected.values<float>()) largest = std::max(largest, std::abs(x));
  for (int64_t i = 0; i < expected.numel(); ++i)
    ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], 1e-4f * largest) << i;
}

class Golden {
 public:
  explicit Golden(const std::string& name)
      : golden_(kGoldens / name / "prompts.safetensors"),
        folder_(ModelFolder::open(kGoldens / name)) {}

 protected:
  Tensor load(const std::string& name) const { return golden_.load(name); }
  Tensor load_mask() const {
    for (const TensorInfo& info : golden_.tensors()) {
      if (info.name == "mask") return to(load("mask"), DType::u8);
    }
    return {};
  }
  void expect_losses(const Learnt& learnt, const std::string& name) const {
    expect_like(Tensor::from<float>(learnt.losses, {std::ssize(learnt.losses)}), load(name));
  }

  Safetensors golden_;
  ModelFolder folder_;
  std::unique_ptr<Model> model_ = open_for_context(folder_);
  Tensor labels_ = to(load("labels"), DType::i32);
  PromptIds ids_{to(load("ids"), DType::i32), load_mask()};
  Shots shots_{load("images"), labels_};
};

class PromptContext : public Golden, public testing::TestWithParam<std::string> {
 protected:
  PromptContext() : Golden(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Models, PromptContext,
                         testing::Values("clip_hf", "dual_vit_bert", "bert_sentence_mean"));

TEST_P(PromptContext, LogitsAndGradientEqualPyTorch) {
  for (const bool again : {false, true}) {
    const Tensor start = clone(load("context"));
    const Recompute recompute(again);
    Tape tape;
    tape.watch(start);
    const Tensor logits = context_logits(*model_, ids_, start, shots_.images);
    expect_like(logits, load("coop.logits"));
    const Tensor loss = cross_entropy(logits, labels_);
    EXPECT_NEAR(loss.data<float>()[0], load("coop.losses").data<float>()[0], 1e-4);
    expect_like(tape.backward(loss)(start), load("coop.gradient"));
    EXPECT_EQ(recompute.was_used(), again);
  }
}

TEST_P(PromptContext, APackedModelReadsItTheSame) {
  const Family& family = find_family(folder_);
  const auto packed =
      family.load(folder_, Weights(folder_.checkpoint, {.rename = family.rename(folder_)}));
  EXPECT_EQ(packed->context_width(), 32);
  expect_like(context_logits(*packed, ids_, load("context"), shots_.images), load("coop.logits"));
}

TEST_P(PromptContext, LearnsAsPyTorchHasIt) {
  const double rate = GetParam() == "clip_hf" ? 0.02 : 5;
  const Learnt learnt = learn_context(*model_, ids_, load("context"), shots_,
                                      {.epochs = 10, .batch = kContextBatch, .lr = rate});
  expect_losses(learnt, "coop.losses");
  expect_like(learnt.value, load("coop.learnt"));
}

class Prompts : public Golden, public testing::Test {
 protected:
  Prompts() : Golden("clip_hf") {}
};

TEST_F(Prompts, ACacheAnswersAndLearnsAsPyTorchHasIt) {
  const ImageCache cache = make_cache(shots_, 5);
  expect_like(cache_logits(load("asked"), load("tip.asked_zero_shot"), cache), load("tip.logits"));
  const Learnt learnt = learn_keys(cache, shots_, load("tip.zero_shot"),
                                   {.epochs = 10, .batch = kKeyBatch, .lr = 0.01});
  expect_losses(learnt, "tip.losses");
  expect_like(learnt.value, load("tip.learnt"));
}

TEST_F(Prompts, SharpnessIsChosenByShotsWithoutTheirOwnKey) {
  ImageCache cache = make_cache(shots_, 5);
  choose_sharpness(cache, shots_, load("search.zero_shot"));
  EXPECT_FLOAT_EQ(cache.alpha, load("search.best").data<float>()[0]);
  EXPECT_FLOAT_EQ(cache.beta, load("search.best").data<float>()[1]);
}

TEST_F(Prompts, WhereNothingIsBetterThePapersNumbersStay) {
  ImageCache cache = make_cache(shots_, 5);
  choose_sharpness(cache, shots_, cache.values * 1000.0f);
  EXPECT_EQ(cache.alpha, 1);
  EXPECT_EQ(cache.beta, 5.5f);
}

TEST_F(Prompts, AContextThatDoesNotFitIsNamed) {
  const auto says = [&](const Shape& shape) {
    return complaint([&] { model_->embed_prompt(ids_.ids, {}, Tensor::zeros(shape)); });
  };
  EXPECT_NE(says({4, 31}).find("a context of [4, 31] in ids of [5, 12]"), std::string::npos);
  EXPECT_NE(says({11, 32}).find("a context of [11, 32]"), std::string::npos);
  const auto siglip = open_for_context(ModelFolder::open(kGoldens / "siglip"));
  EXPECT_EQ(siglip->context_width(), 0);
  EXPECT_NE(complaint([&] {
              siglip->embed_prompt(ids_.ids, {}, load("context"));
            }).find("no learnt context"),
            std::string::npos);
}

TEST(PromptIds, TheNameStandsBehindThePlaces) {
  const std::filesystem::path path = kGoldens / "tokens_clip";
  const auto model = open_for_context(ModelFolder::open(path));
  const auto tokenizer = open_tokenizer(path);
  const auto [ids, mask] = prompt_ids(*model, *tokenizer, {"a cat", "dog"}, 3);
  const auto cat = tokenizer->encode("a cat."), dog = tokenizer->encode("dog.");
  EXPECT_EQ(ids.shape(), (Shape{2, std::ssize(cat) + 3}));
  const auto row = ids.values<int32_t>();
  EXPECT_EQ(row[0], cat[0]);
  EXPECT_TRUE(std::equal(cat.begin() + 1, cat.end(), row.begin() + 4));
  for (int i = 1; i < 4; ++i) EXPECT_EQ(row[i], cat[1]);
  const auto second = row.subspan(static_cast<size_t>(ids.size(1)));
  EXPECT_TRUE(std::equal(dog.begin() + 1, dog.end(), second.begin() + 4));
  const auto tokens = mask.select(0, 1).values<uint8_t>();
  EXPECT_EQ(std::accumulate(tokens.begin(), tokens.end(), 0), std::ssize(dog) + 3);
  EXPECT_NE(complaint([&] {
              prompt_ids(*model, *tokenizer, {"dog", "a cat"}, 16);
            }).find("the class 'dog' has"),
            std::string::npos);
}

}  // namespace
}  // namespace ocelli
