#include "ocelli/train/projections.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "ocelli/data/random.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/train/locked_towers.h"
#include "ocelli/train/ridge.h"
#include "ocelli/train/run.h"

namespace ocelli {
namespace {

constexpr uint64_t kFeatures = 2;  // a stream of random numbers, beside the trainer's

// What learns, of length 1: embeddings, or their part before that of the ridge regression.
Tensor learnt(const TrainableModel& trained, const Tensor& embedding) {
  const int64_t width = trained.tensor("visual_projection.weight").size(0);
  return embedding.size(1) == width ? normalize(embedding) : embedding.slice(1, 0, width);
}

// Rows of a table of features, each number zero with probability `dropout`, the rest scaled up.
Tensor pick(const Tensor& table, const std::vector<int64_t>& rows, double dropout, Rng& rng) {
  const int64_t width = table.size(1);
  const Tensor picked = Tensor::empty({static_cast<int64_t>(rows.size()), width});
  const auto rate = static_cast<float>(dropout);
  for (size_t i = 0; i < rows.size(); ++i) {
    const float* from = table.data<float>() + rows[i] * width;
    float* to = picked.data<float>() + static_cast<int64_t>(i) * width;
    for (int64_t d = 0; d < width; ++d) {
      to[d] = rate > 0 && rng.uniform() < rate ? 0 : from[d] / (1 - rate);
    }
  }
  return picked;
}

// The image tower's own classes, as texts.
class Classes {
 public:
  Classes(const LockedTowers& towers, const TrainRecipe& recipe, const Tensor& images,
          const std::string& model)
      : recipe_(recipe), images_(images) {
    const auto& labels =
        towers.model().has_classifier() ? towers.model().labels() : std::vector<std::string>();
    for (const char* name : {"vision_model.classifier", "vision_model.head"}) {
      const Weights head = towers.weights() / name;
      if (head.has("weight")) rows_ = head.get("weight"), bias_ = head.get("bias");
    }
    count_ = static_cast<int64_t>(labels.size());
    if (count_ == 0 || !rows_.defined() || rows_.shape() != Shape{count_, images.size(1)}) {
      fail(ErrorCode::unsupported,
           "{}: classes.weight needs an image tower with a classifier of named classes", model);
    }
    check(!recipe.classes.templates.empty(), "classes.templates: at least one is needed");
    std::vector<std::string> texts;
    for (const std::string& pattern : recipe.classes.templates) {
      const size_t place = pattern.find("{}");
      check(place != std::string::npos, "classes.templates: '{}' has no {{}} for the label",
            pattern);
      for (const std::string& label : labels) {
        texts.push_back(std::string(pattern).replace(place, 2, label));
      }
    }
    texts_ = towers.of_texts(texts);
  }

  // Unit c of the hidden layer is how far the classifier's logit of class c is above kShift, and
  // what follows adds the mean text of class c, as a part of what embeddings are long.
  void begin_hidden(TrainableModel& model) const {
    constexpr float kShift = 4, kPart = 0.1f;
    const std::string at = "visual_projection.";
    const int64_t width = model.tensor(at + "weight").size(0);
    if (texts_.size(1) != width) {
      fail(ErrorCode::unsupported,
           "classes.as_hidden: texts are {} numbers but projections.width is {}", texts_.size(1),
           width);
    }
    const Tensor names = Tensor::zeros({count_, width});
    const int64_t patterns = texts_.size(0) / count_;
    for (int64_t p = 0; p < patterns; ++p) {
      const Tensor some = normalize(texts_.slice(0, p * count_, (p + 1) * count_));
      std::ranges::transform(names.values<float>(), some.values<float>(),
                             names.values<float>().begin(), std::plus());
    }
    model.replace(at + "fc1.weight", rows_);
    model.replace(at + "fc1.bias", bias_ + -kShift);
    model.replace(at + "fc2.weight", contiguous(normalize(names).transpose(0, 1)) * kPart);
  }

  Tensor loss(const TrainableModel& trained, const Model& model, int64_t batch, Rng& rng) const {
    const Tensor images = draw(batch, rng);
    const Tensor own = softmax(linear(images, LinearWeight(rows_, bias_)));  // [B, classes]
    std::vector<int64_t> texts;
    for (int64_t c = 0; c < count_; ++c) {
      const auto patterns = static_cast<int64_t>(recipe_.classes.templates.size());
      texts.push_back(random_index(rng, patterns) * count_ + c);
    }
    std::vector<int64_t> all(static_cast<size_t>(batch));
    for (int64_t i = 0; i < batch; ++i) all[static_cast<size_t>(i)] = i;
    const auto& dropout = recipe_.projections;
    const Tensor x = model.project_image(pick(images, all, dropout.image_dropout, rng));
    const Tensor t = model.project_text(pick(texts_, texts, dropout.text_dropout, rng));
    const Tensor logits = matmul(learnt(trained, x), learnt(trained, t).transpose(0, 1)) *
                          exp(trained.tensor("logit_scale"));
    return cross_entropy(logits, own);
  }

 private:
  Tensor draw(int64_t batch, Rng& rng) const {
    std::vector<int64_t> picked;
    for (int64_t i = 0; i < batch; ++i) picked.push_back(random_index(rng, images_.size(0)));
    const Tensor images = pick(images_, picked, 0, rng);
    for (int64_t i = 0; i < batch; i += 2) move(images.select(0, i).values<float>(), rng);
    return images;
  }

  // f <- relu(u f + a |f| h / |h|)
  void move(std::span<float> f, Rng& rng) const {
    const std::span<const float> h = rows_.select(0, random_index(rng, count_)).values<float>();
    const auto length = [](std::span<const float> v) {
      float sum = 0;
      for (const float x : v) sum += x * x;
      return std::sqrt(sum);
    };
    const float u = rng.uniform(), a = 0.15f + 0.45f * rng.uniform();
    const float along = a * length(f) / std::max(length(h), 1e-12f);
    for (size_t d = 0; d < f.size(); ++d) f[d] = std::max(0.0f, u * f[d] + along * h[d]);
  }

  const TrainRecipe& recipe_;
  Tensor images_, rows_, bias_, texts_;
  int64_t count_ = 0;
};

// So many samples, whose place a loader gives as indices.
class Indices final : public Dataset {
 public:
  explicit Indices(int64_t count) : count_(count) {}

  std::optional<int64_t> size() const override { return count_; }
  Sample get(int64_t) const override { return {{Tensor::zeros({1, 1, 3}, DType::u8), {}}, -1, {}}; }
  std::string id(int64_t index) const override { return std::to_string(index); }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  int64_t count_;
  std::vector<std::string> classes_;
};

class Locked final : public Objective {
 public:
  Locked(Features train, Features test, std::optional<Classes> classes, const TrainRecipe& recipe)
      : train_(std::move(train)),
        test_(std::move(test)),
        classes_(std::move(classes)),
        recipe_(recipe) {}

  // A step is too short to be shared out.
  bool takes_whole_batches() const override { return true; }

  Tensor loss(const TrainableModel& trained, const Model& model, const Batch& batch,
              int64_t step) override {
    std::vector<int64_t> rows;
    for (const int64_t index : batch.indices)
      rows.push_back(train_.image_of[static_cast<size_t>(index)]);
    Rng rng = keyed_rng({recipe_.seed, kFeatures, static_cast<uint64_t>(step)});
    const auto& dropout = recipe_.projections;
    const Tensor images =
        learnt(trained, model.project_image(pick(train_.images, rows, dropout.image_dropout, rng)));
    const Tensor captions = pick(train_.texts, batch.indices, dropout.text_dropout, rng);
    if (dropout.caption_mix > 0) mix(captions, rows, rng);
    const Tensor texts = learnt(trained, model.project_text(captions));
    const Tensor loss = contrastive_loss(trained, images, texts);
    if (!classes_) return loss;
    return loss + classes_->loss(trained, model, batch.size(), rng) *
                      static_cast<float>(recipe_.classes.weight);
  }

  void after_step(const TrainableModel& trained, int64_t) override { clamp_logit_scale(trained); }

  std::vector<Metric> evaluate(const Model& model) const override {
    if (!test_.texts.defined()) return {};
    return text_to_image_recall(normalize(model.project_text(test_.texts)),
                                normalize(model.project_image(test_.images)), test_.image_of);
  }

  std::string best() const override { return test_.texts.defined() ? "test_recall5" : ""; }

 private:
  // t <- t + u (t' - t), t' of any caption of the image
  void mix(const Tensor& captions, const std::vector<int64_t>& images, Rng& rng) const {
    for (size_t i = 0; i < images.size(); ++i) {
      const auto& others = train_.texts_of[static_cast<size_t>(images[i])];
      const int64_t other = others[static_cast<size_t>(random_index(rng, std::ssize(others)))];
      const auto u = static_cast<float>(recipe_.projections.caption_mix) * rng.uniform();
      const std::span<float> t = captions.select(0, static_cast<int64_t>(i)).values<float>();
      const std::span<const float> from = train_.texts.select(0, other).values<float>();
      for (size_t d = 0; d < t.size(); ++d) t[d] += u * (from[d] - t[d]);
    }
  }

  Features train_, test_;
  std::optional<Classes> classes_;
  const TrainRecipe& recipe_;
};

void fit_ridge(TrainableModel& model, const Features& features, const TrainRecipe& recipe) {
  std::vector<Tensor> images;
  std::vector<std::vector<int64_t>> captions_of;
  for (size_t i = 0; i < features.texts_of.size(); ++i) {
    if (std::ssize(features.texts_of[i]) < recipe.projections.ridge_captions) continue;
    const auto row = static_cast<int64_t>(i);
    images.push_back(features.images.slice(0, row, row + 1));
    captions_of.push_back(features.texts_of[i]);
  }
  check(images.size() >= 2, "projections.ridge_captions: {} images have {} captions or more",
        images.size(), recipe.projections.ridge_captions);
  const RidgeProjections fitted =
      ridge_projections(cat(images, 0), features.texts, captions_of, recipe.projections.ridge);
  model.replace("visual_projection.ridge.weight", fitted.image_weight);
  model.replace("visual_projection.ridge.bias", fitted.image_bias);
  model.replace("text_projection.ridge.weight", fitted.text_weight);
  model.replace("text_projection.ridge.bias", fitted.text_bias);
}

}  // namespace

Trained train_projections(TrainableModel& model, const CaptionData& data,
                          const Tokenizer& tokenizer, const TrainRecipe& asked,
                          const TrainOptions& options) {
  if (options.ranks.rank() == 0 && !options.resume) RunFolder::check_can_begin(options.output);
  TrainRecipe recipe = asked;
  if (model.tensors().contains("visual_projection.ridge.weight")) {
    recipe.groups.freeze.emplace_back("*_projection.ridge.*");
  } else if (recipe.projections.ridge > 0) {
    fail(ErrorCode::unsupported,
         "{}: projections.ridge is for new projections, of --image and --text",
         model.folder().path.string());
  }
  check(recipe.lora.rank == 0,
        "lora.rank is {}; towers that are folders do not learn, and projections learn whole",
        recipe.lora.rank);
  check(recipe.accumulate == 1, "accumulate is {}; a step of projections is one batch",
        recipe.accumulate);
  check(!recipe.classes.as_hidden || (recipe.classes.weight > 0 && recipe.projections.hidden > 0),
        "classes.as_hidden needs classes.weight and projections.hidden");
  check(recipe.distill.model.empty() && recipe.grad_cache == 0,
        "distill.model and grad_cache are for towers that learn");
  ModelFolder whole = model.folder();
  join_towers(whole);
  std::optional<Classes> classes;
  Features train_features, test_features;
  std::vector<BadSample> bad;
  {
    const LockedTowers towers(whole, tokenizer, options.ranks);
    const auto features = [&](const std::shared_ptr<const Dataset>& images, bool captions) {
      Features of_images = towers(images, captions, options.progress);
      std::ranges::move(of_images.bad, std::back_inserter(bad));
      return of_images;
    };
    train_features = features(data.train, true);
    if (data.test) test_features = features(data.test, true);
    if (recipe.classes.weight > 0) {
      Tensor images = train_features.images;
      for (const std::string& path : recipe.classes.images)
        images = cat({images, features(open_dataset(path), false).images}, 0);
      classes.emplace(towers, recipe, images, model.folder().path.string());
      if (recipe.classes.as_hidden) classes->begin_hidden(model);
    }
  }
  if (recipe.projections.ridge > 0) fit_ridge(model, train_features, recipe);
  const int64_t samples = std::ssize(train_features.image_of);
  Locked objective(std::move(train_features), std::move(test_features), std::move(classes), recipe);
  LoaderOptions loading;
  loading.batch_size = recipe.batch;
  loading.sampling.seed = recipe.seed;
  loading.processor = ImageProcessor().with_size(1, 1);
  loading.sampling.drop_last = true;  // a smaller batch has fewer texts to choose from
  Trained trained =
      train(model, objective, std::make_shared<Indices>(samples), loading, recipe, options);
  trained.bad = std::move(bad);
  return trained;
}

}  // namespace ocelli
