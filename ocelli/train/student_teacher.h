// DINOv2's student and teacher (Oquab et al., arXiv 2304.07193; dinov2/train/ssl_meta_arch.py): the
// teacher is an average of the student, sees whole views, and says what the student's heads are to
// say of other views and of masked patches.
#pragma once

#include <filesystem>

#include "ocelli/base/ranks.h"
#include "ocelli/data/loader.h"
#include "ocelli/models/trainable.h"
#include "ocelli/train/dino_head.h"
#include "ocelli/train/metrics.h"
#include "ocelli/train/optimizer.h"

namespace ocelli {

struct StudentTeacherOptions {
  DinoHeadSizes head = {};
  bool separate_heads = false;  // iBOT has a head of its own
  bool sinkhorn_knopp = true;   // else centring
  double dino_weight = 1, ibot_weight = 1, koleo_weight = 0.1;
  double student_temperature = 0.1, centre_momentum = 0.9;
  uint64_t seed = 0;  // of new heads
  const Ranks& ranks = ocelli::ranks();
};

class StudentTeacher {
 public:
  // Heads begin anew, or as save() left them beside the model. The teacher begins as a copy of the
  // student. Throws unsupported for a model that is no transformer over patches, or without a mask
  // token, and corrupt_data for saved heads of other sizes.
  StudentTeacher(const TrainableModel& student, const StudentTeacherOptions& options);

  // Of the student's heads, "dino_head.mlp.0.weight" and so on.
  std::vector<Parameter> parameters() const;
  const TrainableModel& teacher() const { return teacher_; }
  // Those of the student: to begin with others.
  const NamedTensors& heads() const { return student_heads_; }

  struct Losses {
    Tensor total;                      // with its weights, to be differentiated
    std::vector<Metric> metrics = {};  // each loss without its weight, entropies of the teacher
  };
  // Of two global views of each image, local ones, and masks of the global ones (Loader's
  // multi_crop and masks). Moves the centres. With several ranks each has its part of the
  // batch, and the mean over them of `total` and of the metrics is that of the whole batch.
  Losses losses(const Model& student, const Batch& batch, double teacher_temperature);

  // teacher <- momentum teacher + (1 - momentum) student, heads as well.
  void update_teacher(const TrainableModel& student, double momentum);

  // Heads and centres beside the student's model folder, and the teacher's in teacher/.
  void save(const std::filesystem::path& folder) const;
  void load(const std::filesystem::path& folder);

 private:
  struct Targets;
  Targets teach(const Batch& batch, const Tensor& masked, double temperature);
  Tensor probabilities(const Tensor& logits, const Tensor& centre, double temperature) const;

  StudentTeacherOptions options_;
  TrainableModel teacher_;
  NamedTensors student_heads_, teacher_heads_;
  NamedTensors centres_;  // "dino", "ibot": [K]
};

}  // namespace ocelli
