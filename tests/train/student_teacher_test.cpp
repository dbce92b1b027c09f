#include "ocelli/train/student_teacher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "ocelli/base/rng.h"
#include "tests/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

const DinoHeadSizes kSizes = {.hidden = 12, .bottleneck = 6, .prototypes = 10};

TrainableModel golden(const char* name) {
  return TrainableModel(ModelFolder::open(kGoldens / name / "model.safetensors"));
}

std::vector<float> values(const StudentTeacher& learners, const char* name) {
  const auto all = learners.heads().at(name).values<float>();
  return {all.begin(), all.end()};
}

TEST(StudentTeacher, GoesOnWithTheHeadsBesideTheModel) {
  const TempFolder folder;
  const TrainableModel student = golden("selfsup_dinov2");
  const StudentTeacher first(student, {.head = kSizes, .seed = 1});
  first.save(folder.path());
  const TrainableModel teacher(ModelFolder::open(folder / "teacher"));
  const StudentTeacher second(teacher, {.head = kSizes, .seed = 2});
  for (const char* name : {"dino_head.mlp.2.weight", "dino_head.last_layer.weight_v"}) {
    EXPECT_NE(values(StudentTeacher(student, {.head = kSizes, .seed = 2}), name),
              values(first, name));
    EXPECT_EQ(values(second, name), values(first, name));
  }
  EXPECT_THROW(StudentTeacher(teacher, {.head = {.hidden = 13}}), Error);
}

TEST(StudentTeacher, RefusesAModelWithoutAMaskToken) {
  EXPECT_THROW(StudentTeacher(golden("vit_hf_model"), {.head = kSizes}), Error);
}

TEST(StudentTeacher, WithoutAMaskedPatchHasNoLossOfPatches) {
  const TrainableModel student = golden("selfsup_dinov2");
  StudentTeacher learners(student, {.head = kSizes, .sinkhorn_knopp = false});
  Batch batch;
  batch.images = Tensor::empty({4, 16, 16, 3});
  Rng rng(1);
  for (float& x : batch.images.values<float>()) x = rng.normal();
  batch.masks = Tensor::zeros({4, 16}, DType::u8);
  const auto names = [&] {
    std::vector<std::string> all;
    for (const auto& [name, value] : learners.losses(*student.build(), batch, 0.07).metrics) {
      all.push_back(name);
    }
    return all;
  };
  EXPECT_EQ(std::ranges::count(names(), "ibot_loss"), 0);
  batch.masks.data<uint8_t>()[5] = 1;
  EXPECT_EQ(std::ranges::count(names(), "ibot_loss"), 1);
}

}  // namespace
}  // namespace ocelli
