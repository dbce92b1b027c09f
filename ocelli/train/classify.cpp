#include "ocelli/train/classify.h"

#include <algorithm>

#include "ocelli/data/image_list.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/train/loading.h"
#include "ocelli/train/teacher.h"

namespace ocelli {

namespace {

class Classification final : public Objective {
 public:
  Classification(const ClassifierData& data, const TrainRecipe& recipe,
                 const ImageProcessor& processor)
      : test_(data.test), loading_(test_loader(recipe, processor)), recipe_(recipe) {
    if (recipe.distill.model.empty()) return;
    teacher_.emplace(recipe.distill.model, processor);
    teacher_->set_classes(data.train->classes());
  }

  Tensor loss(const TrainableModel&, const Model& model, const Batch& batch, int64_t) override {
    const bool soft = batch.labels.dtype() == DType::f32;
    const float smoothing = soft ? 0 : static_cast<float>(recipe_.label_smoothing);
    if (!teacher_) return cross_entropy(model.classify(batch.images), batch.labels, smoothing);
    // DeiT: the class token's classifier learns labels, the distillation token's the teacher.
    const auto& distill = recipe_.distill;
    const std::vector<Tensor> logits = model.classifiers(batch.images);
    const Tensor task = cross_entropy(logits.front(), batch.labels, smoothing);
    const Tensor distilled = distillation_loss(logits.back(), teacher_->classify(batch.images),
                                               distill.temperature, distill.hard);
    parts_ = {{"task_loss", task.data<float>()[0]}, {"distill_loss", distilled.data<float>()[0]}};
    return task + distilled * static_cast<float>(distill.weight);
  }

  std::vector<Metric> parts() const override { return parts_; }
  std::vector<FixedWeights> fixed_weights() const override {
    return teacher_ ? std::vector{teacher_->weights()} : std::vector<FixedWeights>();
  }

  std::vector<Metric> evaluate(const Model& model) const override {
    if (!test_) return {};
    Loader loader(test_, loading_);
    int64_t right = 0, count = 0;
    double loss = 0;
    while (const std::optional<Batch> batch = loader.next()) {
      const Tensor logits = model.classify(batch->images), found = argmax(logits);
      loss += static_cast<double>(batch->size()) *
              cross_entropy(logits, batch->labels).data<float>()[0];
      count += batch->size();
      for (int64_t i = 0; i < batch->size(); ++i) {
        right += found.data<int32_t>()[i] == batch->labels.data<int32_t>()[i];
      }
    }
    const auto n = static_cast<double>(std::max<int64_t>(count, 1));
    return {{"test_loss", loss / n}, {"test_top1", static_cast<double>(right) / n}};
  }

  std::string best() const override { return test_ ? "test_top1" : ""; }

 private:
  std::shared_ptr<const Dataset> test_;
  LoaderOptions loading_;
  const TrainRecipe& recipe_;
  std::optional<Teacher> teacher_;
  std::vector<Metric> parts_;
};

void check_classes(const Dataset& data, const std::string& path) {
  const std::vector<std::string>& classes = data.classes();
  check(classes.size() >= 2, "{}: {} classes; at least two are needed", path, classes.size());
  std::vector<int64_t> counts(classes.size());
  for (const int64_t label : data.labels()) ++counts.at(static_cast<size_t>(label));
  const auto empty = std::ranges::find(counts, 0);
  check(data.labels().empty() || empty == counts.end(), "{}: the class {} has no image", path,
        empty == counts.end() ? "" : classes[static_cast<size_t>(empty - counts.begin())]);
}

}  // namespace

ClassifierData open_classifier_data(const std::string& path, const std::string& test) {
  const auto [train_path, test_path] = train_and_test(path, test);
  ClassifierData data{open_dataset(train_path, {.target = Target::label}), nullptr};
  check_classes(*data.train, train_path);
  if (test_path.empty()) return data;
  data.test = open_dataset(test_path, {.target = Target::label});
  check(data.test->classes() == data.train->classes(),
        "{}: its classes are not those of {}, by name and in order", test_path, train_path);
  return data;
}

std::unique_ptr<Objective> classification(const ClassifierData& data, const TrainRecipe& recipe,
                                          const ImageProcessor& processor) {
  return std::make_unique<Classification>(data, recipe, processor);
}

LoaderOptions classifier_loader(const ClassifierData& data, const TrainRecipe& recipe,
                                const ImageProcessor& processor) {
  LoaderOptions loading = training_loader(recipe, processor);
  loading.num_classes = static_cast<int64_t>(data.train->classes().size());
  const auto& a = recipe.augment;
  if (a.mixup > 0 || a.cutmix > 0) {
    loading.mixup = Mixup{.mixup_alpha = a.mixup,
                          .cutmix_alpha = a.cutmix,
                          .label_smoothing = recipe.label_smoothing};
  }
  return loading;
}

Trained train_classifier(TrainableModel& model, const ClassifierData& data,
                         const TrainRecipe& recipe, const TrainOptions& options) {
  check(recipe.grad_cache == 0, "grad_cache is {}; it is contrastive's", recipe.grad_cache);
  const std::unique_ptr<Model> built = model.build();
  const ImageProcessor& processor = built->image_processor();
  const auto objective = classification(data, recipe, processor);
  return train(model, *objective, data.train, classifier_loader(data, recipe, processor), recipe,
               options);
}

}  // namespace ocelli
