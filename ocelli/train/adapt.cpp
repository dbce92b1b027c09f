#include "ocelli/train/adapt.h"

#include <algorithm>

#include "ocelli/base/file.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/train/across_ranks.h"
#include "ocelli/train/loading.h"

namespace ocelli {
namespace {

constexpr char kPlaceFile[] = "target.json";

Tensor covariance(const Tensor& x) {
  check(x.rank() == 2 && x.size(0) >= 2, "coral_loss: {}; two rows or more are needed", x.shape());
  const Tensor centred = x - mean(x, 0);
  return matmul(centred.transpose(0, 1), centred, 1 / static_cast<float>(x.size(0) - 1));
}

// One-hot rows of the teacher's classes, zero where its probability is below the threshold.
Tensor pseudo_labels(const Tensor& logits, double threshold, double& used) {
  const Tensor p = softmax(logits), best = argmax(logits), targets = Tensor::zeros(logits.shape());
  const int64_t rows = logits.size(0), classes = logits.size(1);
  used = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * classes + best.data<int32_t>()[i];
    if (p.data<float>()[at] < threshold) continue;
    targets.data<float>()[at] = 1;
    used += 1 / static_cast<double>(rows);
  }
  return targets;
}

}  // namespace

Tensor coral_loss(const Tensor& a, const Tensor& b) {
  check(a.rank() == 2 && b.rank() == 2 && a.size(1) == b.size(1),
        "coral_loss: {} and {} have other widths", a.shape(), b.shape());
  const Tensor difference = covariance(a) - covariance(b);
  const auto d = static_cast<float>(a.size(1));
  return sum(sum(difference * difference, 1), 0) * (1 / (4 * d * d));
}

AdaptationLosses adaptation_losses(const Model& student, const Model& teacher,
                                   const DomainBatch& batch, double threshold,
                                   float label_smoothing, const Ranks& ranks) {
  AdaptationLosses losses;
  Tensor targets;
  {
    const NoTape pause;
    targets = pseudo_labels(teacher.classify(batch.weak), threshold, losses.used);
  }
  const int64_t count = batch.source.size(0);
  const Tensor logits = student.classify(cat({batch.source, batch.strong}, 0));
  const Tensor source = logits.slice(0, 0, count), target = logits.slice(0, count, logits.size(0));
  const bool soft = batch.labels.dtype() == DType::f32;
  losses.source = cross_entropy(source, batch.labels, soft ? 0 : label_smoothing);
  losses.target = cross_entropy(target, targets);
  losses.coral = coral_loss(gather(ranks, source), gather(ranks, target));
  return losses;
}

namespace {

class Adaptation final : public Objective {
 public:
  Adaptation(const TrainableModel& model, std::unique_ptr<Objective> classification,
             std::shared_ptr<const Dataset> target, const TrainRecipe& recipe,
             const ImageProcessor& processor, const Ranks& ranks)
      : classification_(std::move(classification)),
        teacher_(model.folder()),
        target_(std::move(target)),
        recipe_(recipe),
        ranks_(ranks),
        weak_(part_of_rank(training_loader(recipe, processor), ranks)) {
    weak_.sampling.drop_last = true;
    strong_ = weak_;
    const auto& a = recipe.adapt;
    strong_.transform =
        compose({weak_.transform, RandAugment{.num_ops = static_cast<int>(a.strong_ops),
                                              .magnitude = static_cast<int>(a.strong_magnitude)}});
    begin({});
  }

  Tensor loss(const TrainableModel&, const Model& model, const Batch& batch, int64_t) override {
    const AdaptationLosses losses = adaptation_losses(
        model, *teacher_.build(),
        {batch.images, batch.labels, next(*weak_views_), next(*strong_views_)},
        recipe_.adapt.threshold, static_cast<float>(recipe_.label_smoothing), ranks_);
    const auto number = [](const Tensor& x) { return double{x.data<float>()[0]}; };
    parts_ = {{"source_loss", number(losses.source)},
              {"target_loss", number(losses.target)},
              {"coral_loss", number(losses.coral)},
              {"target_used", losses.used}};
    return losses.source + losses.target * static_cast<float>(recipe_.adapt.target_weight) +
           losses.coral * static_cast<float>(recipe_.adapt.coral_weight);
  }

  std::vector<Metric> parts() const override { return parts_; }

  void after_step(const TrainableModel& trained, int64_t) override {
    update_average(teacher_, trained, recipe_.adapt.momentum);
  }

  std::vector<Metric> evaluate(const Model&) const override {
    return classification_->evaluate(*teacher_.build());
  }
  std::string best() const override { return classification_->best(); }

  void save(const std::filesystem::path& folder) const override {
    std::filesystem::create_directories(folder / "teacher");
    teacher_.save(folder / "teacher");
    const LoaderState at = weak_views_->state();
    write_file(folder / "training" / kPlaceFile,
               nlohmann::json{{"epoch", at.epoch}, {"batch", at.batch}}.dump() + "\n");
  }

  void load(const std::filesystem::path& folder) override {
    teacher_.load(folder / "teacher");
    const std::filesystem::path file = folder / "training" / kPlaceFile;
    const Config place = read_config(file);
    if (!place) fail(ErrorCode::not_found, "{}: is missing", file.string());
    begin({place.require<int64_t>("epoch"), place.require<int64_t>("batch")});
  }

 private:
  // Both give the same images in the same order.
  void begin(const LoaderState& at) {
    weak_views_ = std::make_unique<Loader>(target_, weak_, at);
    strong_views_ = std::make_unique<Loader>(target_, strong_, at);
  }

  static Tensor next(Loader& loader) {
    std::optional<Batch> batch = loader.next();
    if (!batch) batch = loader.next();  // the next epoch
    return batch->images;
  }

  std::unique_ptr<Objective> classification_;
  TrainableModel teacher_;
  std::shared_ptr<const Dataset> target_;
  const TrainRecipe& recipe_;
  const Ranks& ranks_;
  LoaderOptions weak_, strong_;
  std::unique_ptr<Loader> weak_views_, strong_views_;
  std::vector<Metric> parts_;
};

}  // namespace

Trained train_adapt(TrainableModel& model, const ClassifierData& source,
                    std::shared_ptr<const Dataset> target, const TrainRecipe& recipe,
                    const TrainOptions& options) {
  check(recipe.lora.rank == 0, "lora.rank is {}; adaptation learns all weights", recipe.lora.rank);
  check(recipe.accumulate == 1, "accumulate is {}; in adaptation a step is one batch",
        recipe.accumulate);
  check(recipe.average == 0, "average is {}; adaptation has a teacher for that", recipe.average);
  check(recipe.distill.model.empty() && recipe.grad_cache == 0,
        "distill.model and grad_cache are not for adaptation");
  const int64_t images = target->size().value_or(0);
  check(recipe.batch >= 2 && recipe.batch <= images,
        "batch is {}, not between 2 and the {} images of the target", recipe.batch, images);
  const std::unique_ptr<Model> built = model.build();
  const ImageProcessor& processor = built->image_processor();
  LoaderOptions loading = classifier_loader(source, recipe, processor);
  loading.sampling.drop_last = true;  // so many as come of the target
  Adaptation objective(model, classification(source, recipe, processor), std::move(target), recipe,
                       processor, options.ranks);
  return train(model, objective, source.train, loading, recipe, options);
}

}  // namespace ocelli
