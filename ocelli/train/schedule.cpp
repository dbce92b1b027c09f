#include "ocelli/train/schedule.h"

#include <cmath>
#include <numbers>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

// From a to b while `share` goes from 0 to 1.
double line(double a, double b, double share) {
  return a + (b - a) * share;
}

double half_cosine(double a, double b, double share) {
  return b + 0.5 * (a - b) * (1 + std::cos(std::numbers::pi * share));
}

double share_of(int64_t step, int64_t steps) {
  return static_cast<double>(step) / static_cast<double>(steps);
}

}  // namespace

double Schedule::operator()(int64_t step) const {
  if (step < warmup) return line(warmup_start, base, share_of(step, warmup));
  if (shape == Shape::constant) return base;
  const int64_t after = step - warmup;
  if (shape == Shape::step) {
    check(step_size > 0, "schedule: step_size is {}, not above 0", step_size);
    return base * std::pow(gamma, static_cast<double>(after / step_size));
  }
  if (step >= total) return last;
  const double share = share_of(after, total - warmup);
  return shape == Shape::linear ? line(base, last, share) : half_cosine(base, last, share);
}

double Dinov2Cosine::operator()(int64_t step) const {
  if (step >= total) return last;
  if (step < freeze) return 0;
  step -= freeze;
  if (step < warmup) {
    return warmup == 1 ? warmup_start : line(warmup_start, base, share_of(step, warmup - 1));
  }
  return half_cosine(base, last, share_of(step - warmup, total - warmup - freeze));
}

Dinov2Schedules dinov2_schedules(const Dinov2Options& o) {
  const int64_t total = o.epochs * o.steps_per_epoch;
  const auto steps = [&](double epochs) {
    return std::llround(epochs * static_cast<double>(o.steps_per_epoch));
  };
  // The temperature is at its end after its warm-up.
  const int64_t warm = steps(o.warmup_teacher_temperature_epochs);
  return {.lr = {.base = o.lr, .last = o.min_lr, .total = total, .warmup = steps(o.warmup_epochs)},
          .weight_decay = {.base = o.weight_decay, .last = o.weight_decay_end, .total = total},
          .momentum = {.base = o.momentum, .last = o.momentum_end, .total = total},
          .teacher_temperature = {.base = o.teacher_temperature,
                                  .last = o.teacher_temperature,
                                  .total = warm,
                                  .warmup = warm,
                                  .warmup_start = o.warmup_teacher_temperature},
          .last_layer_frozen = steps(o.freeze_last_layer_epochs)};
}

}  // namespace ocelli
