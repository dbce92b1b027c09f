#include "ocelli/train/recipe.h"

#include <charconv>
#include <cmath>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli {

std::vector<Setting> recipe_settings(TrainRecipe& r) {
  auto& o = r.optimizer;
  auto& g = r.groups;
  auto& s = r.schedule;
  auto& a = r.augment;
  auto& f = r.selfsup;
  auto& c = r.checkpoints;
  auto& p = r.projections;
  return {
      {"seed", &r.seed, 0, 1e15},
      {"epochs", &r.epochs, 1},
      {"batch", &r.batch, 1},
      {"accumulate", &r.accumulate, 1, 1e6},
      {"clip_grad_norm", &r.clip_grad_norm},
      {"average", &r.average, 0, 1},
      {"label_smoothing", &r.label_smoothing, 0, 0.99},
      {"drop_path", &r.drop_path, 0, 0.99},
      {"grad_checkpointing", &r.grad_checkpointing},
      {"grad_cache", &r.grad_cache},
      {"optimizer.name", &o.name, 0, 0, {"adamw", "sgd", "lars", "lion"}},
      {"optimizer.lr", &o.lr, 1e-15},
      {"optimizer.weight_decay", &o.weight_decay},
      {"optimizer.beta1", &o.beta1, 0, 1},
      {"optimizer.beta2", &o.beta2, 0, 1},
      {"optimizer.eps", &o.eps, 0, 1},
      {"optimizer.momentum", &o.momentum, 0, 1},
      {"optimizer.dampening", &o.dampening, 0, 1},
      {"optimizer.nesterov", &o.nesterov},
      {"optimizer.trust_coefficient", &o.trust_coefficient},
      {"groups.layer_decay", &g.layer_decay, 0.01, 1},
      {"groups.freeze", &g.freeze},
      {"groups.no_decay", &g.no_decay},
      {"groups.lr_scale", &g.lr_scale},
      {"lora.rank", &r.lora.rank, 0, 65536},
      {"lora.alpha", &r.lora.alpha},
      {"lora.targets", &r.lora.targets},
      {"distill.model", &r.distill.model},
      {"distill.weight", &r.distill.weight},
      {"distill.temperature", &r.distill.temperature, 1e-3, 1000},
      {"distill.hard", &r.distill.hard},
      {"schedule.name", &s.name, 0, 0, {"constant", "linear", "cosine", "step"}},
      {"schedule.warmup_epochs", &s.warmup_epochs},
      {"schedule.warmup_start", &s.warmup_start},
      {"schedule.last", &s.last},
      {"schedule.step_epochs", &s.step_epochs, 1e-6},
      {"schedule.gamma", &s.gamma, 0, 1},
      {"augment.crop_scale", &a.crop_scale, 0.001, 1},
      {"augment.flip", &a.flip, 0, 1},
      {"augment.color_jitter", &a.color_jitter, 0, 10},
      {"augment.trivial_augment", &a.trivial_augment},
      {"augment.rand_augment_ops", &a.rand_augment_ops, 0, 14},
      {"augment.rand_augment_magnitude", &a.rand_augment_magnitude, 0, 30},
      {"augment.erasing", &a.erasing, 0, 1},
      {"augment.mixup", &a.mixup},
      {"augment.cutmix", &a.cutmix},
      {"projections.width", &p.width, 1, 65536},
      {"projections.hidden", &p.hidden, 0, 65536},
      {"projections.image_size", &p.image_size, 0, 4096},
      {"projections.image_dropout", &p.image_dropout, 0, 0.99},
      {"projections.text_dropout", &p.text_dropout, 0, 0.99},
      {"projections.caption_mix", &p.caption_mix, 0, 1},
      {"projections.ridge", &p.ridge},
      {"projections.ridge_weight", &p.ridge_weight, 1e-6, 1e6},
      {"projections.ridge_captions", &p.ridge_captions, 1},
      {"classes.weight", &r.classes.weight},
      {"classes.as_hidden", &r.classes.as_hidden},
      {"classes.images", &r.classes.images},
      {"classes.templates", &r.classes.templates},
      {"adapt.threshold", &r.adapt.threshold, 0, 1},
      {"adapt.target_weight", &r.adapt.target_weight},
      {"adapt.coral_weight", &r.adapt.coral_weight},
      {"adapt.momentum", &r.adapt.momentum, 0, 1},
      {"adapt.strong_ops", &r.adapt.strong_ops, 0, 14},
      {"adapt.strong_magnitude", &r.adapt.strong_magnitude, 0, 30},
      {"selfsup.head_hidden", &f.head_hidden, 1},
      {"selfsup.head_bottleneck", &f.head_bottleneck, 1},
      {"selfsup.head_prototypes", &f.head_prototypes, 2},
      {"selfsup.separate_heads", &f.separate_heads},
      {"selfsup.centring", &f.centring, 0, 0, {"centring", "sinkhorn_knopp"}},
      {"selfsup.dino_weight", &f.dino_weight},
      {"selfsup.ibot_weight", &f.ibot_weight},
      {"selfsup.koleo_weight", &f.koleo_weight},
      {"selfsup.student_temperature", &f.student_temperature, 1e-3, 10},
      {"selfsup.teacher_temperature", &f.teacher_temperature, 1e-3, 10},
      {"selfsup.teacher_temperature_start", &f.teacher_temperature_start, 1e-3, 10},
      {"selfsup.teacher_temperature_epochs", &f.teacher_temperature_epochs},
      {"selfsup.momentum", &f.momentum, 0, 1},
      {"selfsup.momentum_last", &f.momentum_last, 0, 1},
      {"selfsup.weight_decay_last", &f.weight_decay_last},
      {"selfsup.freeze_last_layer_epochs", &f.freeze_last_layer_epochs},
      {"selfsup.global_crops_size", &f.global_crops_size, 1, 4096},
      {"selfsup.local_crops_size", &f.local_crops_size, 1, 4096},
      {"selfsup.local_crops_number", &f.local_crops_number, 0, 64},
      {"selfsup.global_crops_from", &f.global_crops_from, 0.001, 1},
      {"selfsup.local_crops_from", &f.local_crops_from, 0.001, 1},
      {"selfsup.local_crops_to", &f.local_crops_to, 0.001, 1},
      {"selfsup.blur", &f.blur, 0, 1},
      {"selfsup.mask_probability", &f.mask_probability, 0, 1},
      {"selfsup.mask_from", &f.mask_from, 0, 1},
      {"selfsup.mask_to", &f.mask_to, 0, 1},
      {"checkpoints.every_epochs", &c.every_epochs, 1e-6},
      {"checkpoints.keep", &c.keep, 1},
  };
}

TrainRecipe read_train_recipe(const std::filesystem::path& file,
                              std::span<const std::string> overrides) {
  TrainRecipe recipe;
  const auto settings = recipe_settings(recipe);
  read_settings(settings, read_file(file, 1 << 20), file.string());
  for (const std::string& assignment : overrides) override_setting(settings, assignment);
  return recipe;
}

std::string train_recipe_text(const TrainRecipe& recipe) {
  TrainRecipe copy = recipe;
  return settings_text(recipe_settings(copy));
}

Method method_of(const TrainRecipe& recipe) {
  const auto& o = recipe.optimizer;
  const Sgd sgd = {.momentum = o.momentum, .dampening = o.dampening, .nesterov = o.nesterov};
  if (o.name == "adamw") return AdamW{.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps};
  if (o.name == "lion") return Lion{.beta1 = o.beta1, .beta2 = o.beta2};
  if (o.name == "sgd") return sgd;
  return Lars{.sgd = sgd, .trust_coefficient = o.trust_coefficient};
}

GroupOptions groups_of(const TrainRecipe& recipe) {
  const auto& g = recipe.groups;
  GroupOptions options = {.layer_decay = g.layer_decay, .freeze = g.freeze, .no_decay = g.no_decay};
  for (const std::string& entry : g.lr_scale) {
    const size_t equals = entry.rfind('=');
    double factor = -1;
    if (equals != entry.npos) {
      std::from_chars(entry.data() + equals + 1, entry.data() + entry.size(), factor);
    }
    check(factor >= 0, "groups.lr_scale: '{}' is not of the form pattern=factor", entry);
    options.lr_scale.emplace_back(entry.substr(0, equals), factor);
  }
  return options;
}

Schedule schedule_of(const TrainRecipe& recipe, int64_t steps_per_epoch) {
  const auto& s = recipe.schedule;
  using enum Schedule::Shape;
  const auto steps = [&](double epochs) {
    return std::llround(epochs * static_cast<double>(steps_per_epoch));
  };
  return {.shape = s.name == "constant" ? constant
                   : s.name == "linear" ? linear
                   : s.name == "cosine" ? cosine
                                        : step,
          .base = recipe.optimizer.lr,
          .last = s.last,
          .total = recipe.epochs * steps_per_epoch,
          .warmup = steps(s.warmup_epochs),
          .warmup_start = s.warmup_start,
          .step_size = std::max<int64_t>(1, steps(s.step_epochs)),
          .gamma = s.gamma};
}

}  // namespace ocelli
