// Numbers that change while a model learns: each schedule is a function of the step, from 0 on, so
// a run that is taken up again needs no state of it.
#pragma once

#include <cstdint>

namespace ocelli {

// From `warmup_start` in a line to `base` over the first `warmup` steps, then by shape to step
// `total`, and `last` from there on. As torch's LinearLR, then CosineAnnealingLR (SGDR, arXiv
// 1608.03983), LinearLR or StepLR in a SequentialLR; timm's schedulers with warmup_prefix.
struct Schedule {
  enum class Shape {
    constant,
    linear,
    cosine,
    step,  // base * gamma ^ (steps after the warm-up / step_size), without an end
  };
  Shape shape = Shape::cosine;
  double base = 0, last = 0;
  int64_t total = 0;
  int64_t warmup = 0;
  double warmup_start = 0;
  int64_t step_size = 0;  // of Shape::step
  double gamma = 0.1;

  double operator()(int64_t step) const;
};

// The schedule of DINOv2 (arXiv 2304.07193, dinov2/utils/utils.py): 0 for `freeze` steps, then a
// warm-up whose last step already has `base`, then a cosine that starts with `base` once more.
struct Dinov2Cosine {
  double base = 0, last = 0;
  int64_t total = 0;
  int64_t warmup = 0;
  double warmup_start = 0;
  int64_t freeze = 0;

  double operator()(int64_t step) const;
};

// The five numbers of a DINOv2 run, with the values of its ssl_default_config.yaml.
struct Dinov2Options {
  int64_t epochs = 100, steps_per_epoch = 1250;
  double lr = 0.004, min_lr = 1e-6;  // lr: after the scaling to the batch
  double warmup_epochs = 10;
  double weight_decay = 0.04, weight_decay_end = 0.4;
  double momentum = 0.992, momentum_end = 1;
  double teacher_temperature = 0.07, warmup_teacher_temperature = 0.04;
  double warmup_teacher_temperature_epochs = 30;
  double freeze_last_layer_epochs = 1;
};

struct Dinov2Schedules {
  Dinov2Cosine lr, weight_decay, momentum, teacher_temperature;
  int64_t last_layer_frozen = 0;  // steps

  double last_layer_lr(int64_t step) const { return step < last_layer_frozen ? 0 : lr(step); }
};
Dinov2Schedules dinov2_schedules(const Dinov2Options& options);

}  // namespace ocelli
