#include "ocelli/train/teacher.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ocelli/formats/memory_source.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/trainable.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/contrastive.h"
#include "tests/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

void expect_equal(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_TRUE(actual.defined()) << what;
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  const Tensor a = contiguous(actual);
  double error = 0, largest = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double right = expected.data<float>()[i];
    largest = std::max(largest, std::abs(right));
    error = std::max(error, std::abs(right - a.data<float>()[i]));
  }
  EXPECT_LE(error, 1e-4 * largest + 1e-7) << what;
}

// timm's TokenDistillationTask, the images normalised by other numbers than the teacher's.
TEST(Teacher, OfTheDistillationTokenIsTimms) {
  const Safetensors golden(kGoldens / "train" / "distill.safetensors");
  const TrainableModel student(
      ModelFolder::open(kGoldens / "vit_deit_distilled" / "checkpoint.pth"));
  ImageProcessor processor;
  processor.mean = {0.485f, 0.456f, 0.406f};
  processor.std = {0.229f, 0.224f, 0.225f};
  Teacher teacher(kGoldens / "vit_timm_token", processor);
  const Tensor pixels = contiguous(golden.load("pixels").permute({0, 2, 3, 1}));
  const Tensor labels = to(golden.load("labels"), DType::i32);
  for (const std::string kind : {"soft", "hard"}) {
    Tape tape;
    student.watch(tape);
    const std::vector<Tensor> logits = student.build()->classifiers(pixels);
    ASSERT_EQ(logits.size(), 2);
    const Tensor task = cross_entropy(logits[0], labels);
    const Tensor distilled =
        distillation_loss(logits[1], teacher.classify(pixels), 2.0, kind == "hard");
    const Tensor loss = task + distilled * 0.7f;
    const auto expect = [&](const Tensor& actual, const std::string& name) {
      const float right = golden.load(kind + "." + name).data<float>()[0];
      EXPECT_NEAR(actual.data<float>()[0], right, 1e-4f * std::abs(right)) << kind << name;
    };
    expect(loss, "loss");
    expect(task, "task_loss");
    expect(distilled, "distill_loss");
    const Gradients gradients = tape.backward(loss);
    for (const char* name : {"cls_token", "dist_token", "head.weight", "head_dist.weight",
                             "head_dist.bias", "blocks.0.norm1.weight", "patch_embed.proj.bias"}) {
      expect_equal(gradients(student.tensor(name)), golden.load(kind + ".grad." + name), name);
    }
  }
}

TEST(Teacher, IsAskedForClassesByName) {
  const TempFolder folder;
  TrainableModel model(ModelFolder::open(kGoldens / "vit_timm_token"));
  model.set_classes({"ant", "bee", "cat"}, 1);
  model.save(folder.path());
  Teacher teacher(folder.path(), ImageProcessor());
  const Tensor pixels = Tensor::full({1, 32, 32, 3}, 0.5f);
  const Tensor all = teacher.classify(pixels);
  teacher.set_classes({"cat", "ant"});
  const Tensor two = teacher.classify(pixels);
  ASSERT_EQ(two.shape(), (Shape{1, 2}));
  EXPECT_EQ(two.data<float>()[0], all.data<float>()[2]);
  EXPECT_EQ(two.data<float>()[1], all.data<float>()[0]);
  EXPECT_NE(complaint([&] {
              teacher.set_classes({"dog", "ant"});
            }).find("'dog'"),
            std::string::npos);
  Teacher bare(kGoldens / "dinov2_hf", ImageProcessor());
  EXPECT_NE(complaint([&] { bare.set_classes({"dog"}); }).find("dinov2_hf"), std::string::npos);
}

// A model of logit_scale, and for SigLIP logit_bias, alone: what the losses read.
struct Pair {
  Tensor images, texts;
  TrainableModel model;
  Tensor scale;

  Pair(const Safetensors& golden, bool sigmoid)
      : images(golden.load("clip.images") * 1.0f),
        texts(golden.load("clip.texts") * 1.0f),
        model(ModelFolder::open(kGoldens / (sigmoid ? "siglip" : "clip_hf"))),
        scale(model.tensor("logit_scale")) {
    scale.data<float>()[0] = golden.load("clip.logit_scale").data<float>()[0];
  }
};

TEST(Teacher, OfTwoTowersIsOpenClips) {
  const Safetensors golden(kGoldens / "train" / "distill.safetensors");
  const TeacherPairs teacher = {golden.load("clip.teacher_images"),
                                golden.load("clip.teacher_texts"), 20};
  for (const int64_t chunk : {0, 4, 1}) {
    const Pair p(golden, false);
    Tape tape;
    for (const Tensor& leaf : {p.images, p.texts, p.scale}) tape.watch(leaf);
    const Tensor x = normalize(p.images), y = normalize(p.texts);
    const Tensor contrastive = contrastive_loss(p.model, x, y, chunk);
    const Tensor distilled = clip_distillation(p.model, x, y, teacher, chunk);
    const auto expect = [&](const Tensor& actual, const char* name) {
      const float right = golden.load(name).data<float>()[0];
      EXPECT_NEAR(actual.data<float>()[0], right, 1e-5f * std::abs(right)) << name << chunk;
    };
    expect(contrastive, "clip.contrastive");
    expect(distilled, "clip.distill");
    const Gradients gradients = tape.backward(contrastive + distilled * 0.5f);
    expect_equal(gradients(p.images), golden.load("clip.grad.images"), "images");
    expect_equal(gradients(p.texts), golden.load("clip.grad.texts"), "texts");
    expect_equal(gradients(p.scale), golden.load("clip.grad.logit_scale"), "scale");
  }
}

TEST(ContrastiveLoss, OfSigmoidsIsTheSameByChunks) {
  const Safetensors golden(kGoldens / "train" / "distill.safetensors");
  const Pair p(golden, true);
  std::vector<Tensor> losses, gradients;
  for (const int64_t chunk : {0, 4}) {
    Tape tape;
    tape.watch(p.images);
    losses.push_back(contrastive_loss(p.model, normalize(p.images), normalize(p.texts), chunk));
    gradients.push_back(tape.backward(losses.back())(p.images));
  }
  expect_equal(losses[1], losses[0], "loss");
  expect_equal(gradients[1], gradients[0], "gradient");
}

}  // namespace
}  // namespace ocelli
