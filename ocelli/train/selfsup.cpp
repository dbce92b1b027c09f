#include "ocelli/train/selfsup.h"

#include <algorithm>

#include "ocelli/ops/norm.h"
#include "ocelli/ops/shape.h"
#include "ocelli/train/loading.h"
#include "ocelli/train/neighbours.h"
#include "ocelli/train/student_teacher.h"

namespace ocelli {
namespace {

StudentTeacherOptions learners_of(const TrainRecipe& recipe, const Ranks& ranks) {
  const auto& s = recipe.selfsup;
  return {.head = {s.head_hidden, s.head_bottleneck, s.head_prototypes},
          .separate_heads = s.separate_heads,
          .sinkhorn_knopp = s.centring == "sinkhorn_knopp",
          .dino_weight = s.dino_weight,
          .ibot_weight = s.ibot_weight,
          .koleo_weight = s.koleo_weight,
          .student_temperature = s.student_temperature,
          .seed = recipe.seed,
          .ranks = ranks};
}

Dinov2Schedules schedules_of(const TrainRecipe& recipe, int64_t steps) {
  const auto& s = recipe.selfsup;
  return dinov2_schedules({.epochs = recipe.epochs,
                           .steps_per_epoch = steps,
                           .lr = recipe.optimizer.lr,
                           .min_lr = recipe.schedule.last,
                           .warmup_epochs = recipe.schedule.warmup_epochs,
                           .weight_decay = recipe.optimizer.weight_decay,
                           .weight_decay_end = s.weight_decay_last,
                           .momentum = s.momentum,
                           .momentum_end = s.momentum_last,
                           .teacher_temperature = s.teacher_temperature,
                           .warmup_teacher_temperature = s.teacher_temperature_start,
                           .warmup_teacher_temperature_epochs = s.teacher_temperature_epochs,
                           .freeze_last_layer_epochs = s.freeze_last_layer_epochs});
}

LoaderOptions views_of(const TrainRecipe& recipe, const Model& model) {
  const auto& s = recipe.selfsup;
  LoaderOptions loading;
  loading.batch_size = recipe.batch;
  loading.sampling.seed = recipe.seed;
  loading.processor = model.image_processor();
  loading.sampling.drop_last = true;
  loading.multi_crop = MultiCrop{.global_crops_size = s.global_crops_size,
                                 .local_crops_size = s.local_crops_size,
                                 .global_crops_scale = {s.global_crops_from, 1},
                                 .local_crops_scale = {s.local_crops_from, s.local_crops_to},
                                 .local_crops_number = s.local_crops_number,
                                 .blur = s.blur};
  const int64_t side = s.global_crops_size / model.token_layout()->patch;
  loading.masks = BlockMasks{.height = side,
                             .width = side,
                             .mask_probability = s.mask_probability,
                             .ratio = {s.mask_from, s.mask_to}};
  return loading;
}

void check_recipe(const TrainRecipe& recipe, int64_t patch) {
  const auto& s = recipe.selfsup;
  check(recipe.schedule.name == "cosine",
        "schedule.name is '{}'; self-supervised training has DINOv2's, a cosine",
        recipe.schedule.name);
  check(recipe.average == 0, "average is {}; self-supervised training has a teacher for that",
        recipe.average);
  check(recipe.lora.rank == 0, "lora.rank is {}; self-supervised training learns all weights",
        recipe.lora.rank);
  check(recipe.accumulate == 1, "accumulate is {}; in self-supervised training a step is one batch",
        recipe.accumulate);
  check(recipe.distill.model.empty() && recipe.grad_cache == 0,
        "distill.model and grad_cache are not for self-supervised training");
  check(recipe.batch >= 2, "batch is {}; self-supervised training compares two images or more",
        recipe.batch);
  for (const auto& [key, size] : {std::pair("global_crops_size", s.global_crops_size),
                                  std::pair("local_crops_size", s.local_crops_size)}) {
    check(size % patch == 0, "selfsup.{} is {}, no multiple of the model's patches of {}", key,
          size, patch);
  }
  check(s.local_crops_from <= s.local_crops_to,
        "selfsup.local_crops_from is {}, above local_crops_to, {}", s.local_crops_from,
        s.local_crops_to);
  check(s.mask_from <= s.mask_to, "selfsup.mask_from is {}, above mask_to, {}", s.mask_from,
        s.mask_to);
}

class Selfsup final : public Objective {
 public:
  Selfsup(const TrainableModel& model, const SelfsupData& data, const TrainRecipe& recipe,
          const LoaderOptions& testing, const Dinov2Schedules& schedules, const Ranks& ranks)
      : learners_(model, learners_of(recipe, ranks)),
        schedules_(schedules),
        test_(data.test),
        testing_(testing) {}

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> heads = learners_.parameters();
    for (Parameter& parameter : heads) {
      const bool last = parameter.name.find(".last_layer.") != std::string::npos;
      if (last) parameter.lr_from = schedules_.last_layer_frozen;
    }
    return heads;
  }

  StepSizes sizes(int64_t step, const StepSizes&) const override {
    return {schedules_.lr(step), schedules_.weight_decay(step)};
  }

  Tensor loss(const TrainableModel&, const Model& model, const Batch& batch,
              int64_t step) override {
    StudentTeacher::Losses losses =
        learners_.losses(model, batch, schedules_.teacher_temperature(step));
    parts_ = std::move(losses.metrics);
    return losses.total;
  }

  std::vector<Metric> parts() const override { return parts_; }

  void after_step(const TrainableModel& trained, int64_t step) override {
    learners_.update_teacher(trained, schedules_.momentum(step));
  }

  std::vector<Metric> evaluate(const Model&) const override {
    if (!test_) return {};
    const std::unique_ptr<Model> teacher = learners_.teacher().build();
    std::vector<Tensor> rows;
    std::vector<int64_t> labels;
    Loader loader(test_, testing_);
    while (const std::optional<Batch> batch = loader.next()) {
      rows.push_back(normalize(teacher->embed_image(batch->images)));
      std::ranges::copy(batch->labels.values<int32_t>(), std::back_inserter(labels));
    }
    const auto right = static_cast<double>(count_knn(cat(rows, 0), labels));
    return {{"test_knn", right / static_cast<double>(labels.size())}};
  }

  std::string best() const override { return test_ ? "test_knn" : ""; }
  void save(const std::filesystem::path& folder) const override { learners_.save(folder); }
  void load(const std::filesystem::path& folder) override { learners_.load(folder); }

 private:
  StudentTeacher learners_;
  Dinov2Schedules schedules_;
  std::shared_ptr<const Dataset> test_;
  LoaderOptions testing_;
  std::vector<Metric> parts_;
};

}  // namespace

Trained train_selfsup(TrainableModel& model, const SelfsupData& data, const TrainRecipe& recipe,
                      const TrainOptions& options) {
  const std::unique_ptr<Model> built = model.build();
  if (!built->token_layout()) {
    fail(ErrorCode::unsupported,
         "{}: self-supervised training needs a transformer over patches, such as dinov2",
         model.folder().path.string());
  }
  check_recipe(recipe, built->token_layout()->patch);
  const LoaderOptions loading = views_of(recipe, *built);
  Selfsup objective(
      model, data, recipe, test_loader(recipe, built->image_processor()),
      schedules_of(recipe, steps_per_epoch(*data.train, part_of_rank(loading, options.ranks))),
      options.ranks);
  return train(model, objective, data.train, loading, recipe, options);
}

}  // namespace ocelli
