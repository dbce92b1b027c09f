#include "ocelli/train/contrastive.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/across_ranks.h"
#include "ocelli/train/loading.h"
#include "ocelli/train/neighbours.h"
#include "ocelli/train/projections.h"
#include "ocelli/train/teacher.h"

namespace ocelli {

namespace {

// f(begin, end) of the rows [0, count), `chunk` at a time; what is in between is computed again for
// its gradients.
std::vector<Tensor> by_chunks(int64_t count, int64_t chunk,
                              const std::function<Tensor(int64_t, int64_t)>& f) {
  if (chunk == 0 || chunk >= count) return {f(0, count)};
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t end = std::min(begin + chunk, count);
    parts.push_back(Tape::active()
                        ? Tape::recompute("chunk", {}, [=](const Tensor&) { return f(begin, end); })
                        : f(begin, end));
  }
  return parts;
}

// The mean over rows of what f says is the mean of [begin, end).
Tensor mean_of_chunks(int64_t count, int64_t chunk,
                      const std::function<Tensor(int64_t, int64_t)>& f) {
  const std::vector<Tensor> means = by_chunks(count, chunk, f);
  if (means.size() == 1) return means[0];
  Tensor mean;
  for (size_t i = 0; i < means.size(); ++i) {
    const int64_t begin = static_cast<int64_t>(i) * chunk;
    const auto share =
        static_cast<float>(std::min(chunk, count - begin)) / static_cast<float>(count);
    mean = mean.defined() ? mean + means[i] * share : means[i] * share;
  }
  return mean;
}

Tensor similarities(const Tensor& x, int64_t begin, int64_t end, const Tensor& y) {
  return matmul(x.slice(0, begin, end), y.transpose(0, 1));
}

}  // namespace

Tensor contrastive_loss(const TrainableModel& model, const Tensor& x, const Tensor& y,
                        int64_t chunk) {
  check(x.rank() == 2 && x.shape() == y.shape(), "contrastive_loss: images are {} and texts {}",
        x.shape(), y.shape());
  const Tensor scale = exp(model.tensor("logit_scale"));
  const int64_t count = x.size(0);
  if (model.tensors().contains("logit_bias")) {
    const Tensor bias = model.tensor("logit_bias");
    return mean_of_chunks(count, chunk, [=](int64_t begin, int64_t end) {
      const Tensor same = Tensor::zeros({end - begin, count});
      for (int64_t i = begin; i < end; ++i) same.data<float>()[(i - begin) * count + i] = 1;
      return sigmoid_cross_entropy(similarities(x, begin, end, y) * scale + bias, same);
    });
  }
  const Tensor own = Tensor::empty({count}, DType::i32);
  std::iota(own.data<int32_t>(), own.data<int32_t>() + count, 0);
  return mean_of_chunks(count, chunk, [=](int64_t begin, int64_t end) {
    const Tensor right = own.slice(0, begin, end);
    return (cross_entropy(similarities(x, begin, end, y) * scale, right) +
            cross_entropy(similarities(y, begin, end, x) * scale, right)) *
           0.5f;
  });
}

Tensor clip_distillation(const TrainableModel& model, const Tensor& x, const Tensor& y,
                         const TeacherPairs& teacher, int64_t chunk) {
  const Tensor scale = exp(model.tensor("logit_scale"));
  return mean_of_chunks(x.size(0), chunk, [=](int64_t begin, int64_t end) {
    const auto target = [&](const Tensor& a, const Tensor& b) {
      const NoTape pause;
      return softmax(similarities(a, begin, end, b) * teacher.scale);
    };
    return (cross_entropy(similarities(x, begin, end, y) * scale,
                          target(teacher.images, teacher.texts)) +
            cross_entropy(similarities(y, begin, end, x) * scale,
                          target(teacher.texts, teacher.images))) *
           0.5f;
  });
}

TokenBatch encode_texts(const Model& model, const Tokenizer& tokenizer,
                        std::span<const std::string> texts) {
  const TextFormat format = model.text_format();
  return tokenizer.encode_batch(
      texts, {.context_length = format.context_length, .pad_to_longest = !format.pad_to_length});
}

void clamp_logit_scale(const TrainableModel& model) {
  constexpr float kLargest = 4.6051702f;  // ln 100
  float& scale = model.tensor("logit_scale").data<float>()[0];
  scale = std::clamp(scale, 0.0f, kLargest);
}

std::vector<Metric> text_to_image_recall(const Tensor& texts, const Tensor& images,
                                         const std::vector<int64_t>& own) {
  std::vector<std::vector<int64_t>> keys;
  for (const int64_t image : own) keys.push_back({image});
  const Recall found = recall(texts, images, keys);
  return {{"test_recall1", found.r1}, {"test_recall5", found.r5}};
}

namespace {

class Contrastive final : public Objective {
 public:
  Contrastive(const CaptionData& data, const LoaderOptions& loading, const Tokenizer& tokenizer,
              const TrainRecipe& recipe, const ImageProcessor& processor, const Ranks& ranks)
      : test_(data.test), loading_(loading), tokenizer_(tokenizer), recipe_(recipe), ranks_(ranks) {
    if (!recipe.distill.model.empty()) teacher_.emplace(recipe.distill.model, processor);
  }

  Tensor loss(const TrainableModel& trained, const Model& model, const Batch& batch,
              int64_t) override {
    const int64_t count = batch.size(), chunk = recipe_.grad_cache;
    const Tensor images = pairs(by_chunks(count, chunk, [&](int64_t begin, int64_t end) {
      return model.embed_image(batch.images.slice(0, begin, end));
    }));
    const TokenBatch tokens = encode_texts(model, tokenizer_, batch.captions);
    const Tensor ids = tokens.ids, mask = to(tokens.mask, DType::u8);
    const Tensor texts =
        pairs(by_chunks(count, chunk, [&model, ids, mask](int64_t begin, int64_t end) {
          return model.embed_text(ids.slice(0, begin, end), mask.slice(0, begin, end));
        }));
    const Tensor loss = contrastive_loss(trained, images, texts, chunk);
    parts_.clear();
    if (!teacher_) return loss;
    const Tensor distilled = clip_distillation(trained, images, texts, teach(batch), chunk);
    parts_ = {{"contrastive_loss", loss.data<float>()[0]},
              {"distill_loss", distilled.data<float>()[0]}};
    return loss + distilled * static_cast<float>(recipe_.distill.weight);
  }

  std::vector<Metric> parts() const override { return parts_; }
  std::vector<FixedWeights> fixed_weights() const override {
    return teacher_ ? std::vector{teacher_->weights()} : std::vector<FixedWeights>();
  }
  void after_step(const TrainableModel& trained, int64_t) override { clamp_logit_scale(trained); }

  std::vector<Metric> evaluate(const Model& model) const override {
    if (!test_) return {};
    std::map<std::string, int64_t> rows;  // an image may stand in several, with a caption each
    std::vector<int64_t> own;
    std::vector<Tensor> images, texts;
    Loader loader(test_, loading_);
    while (const std::optional<Batch> batch = loader.next()) {
      std::vector<Tensor> fresh;
      for (int64_t i = 0; i < batch->size(); ++i) {
        const auto [row, is_new] =
            rows.emplace(test_->id(batch->indices[static_cast<size_t>(i)]), rows.size());
        if (is_new) fresh.push_back(batch->images.slice(0, i, i + 1));
        own.push_back(row->second);
      }
      if (!fresh.empty()) images.push_back(normalize(model.embed_image(cat(fresh, 0))));
      const TokenBatch tokens = encode_texts(model, tokenizer_, batch->captions);
      texts.push_back(normalize(model.embed_text(tokens.ids, to(tokens.mask, DType::u8))));
    }
    return text_to_image_recall(cat(texts, 0), cat(images, 0), own);
  }

  std::string best() const override { return test_ ? "test_recall5" : ""; }

 private:
  // The rows of all ranks, of length 1.
  Tensor pairs(const std::vector<Tensor>& parts) const {
    return normalize(gather(ranks_, cat(parts, 0)));
  }

  TeacherPairs teach(const Batch& batch) const {
    const NoTape pause;
    const auto part = [&](int64_t begin, int64_t end) {
      return teacher_->embed_image(batch.images.slice(0, begin, end));
    };
    return {gather(ranks_, cat(by_chunks(batch.size(), recipe_.grad_cache, part), 0)),
            gather(ranks_, teacher_->embed_texts(batch.captions)), teacher_->scale()};
  }

  std::shared_ptr<const Dataset> test_;
  LoaderOptions loading_;
  const Tokenizer& tokenizer_;
  const TrainRecipe& recipe_;
  const Ranks& ranks_;
  std::optional<Teacher> teacher_;
  std::vector<Metric> parts_;
};

}  // namespace

Trained train_contrastive(TrainableModel& model, const CaptionData& data,
                          const Tokenizer& tokenizer, const TrainRecipe& recipe,
                          const TrainOptions& options) {
  if (!model.folder().towers.empty()) {
    return train_projections(model, data, tokenizer, recipe, options);
  }
  const std::unique_ptr<Model> built = model.build();
  if (!built->has_text() || !model.tensors().contains("logit_scale")) {
    fail(ErrorCode::unsupported, "{}: contrastive training needs a text tower and a logit_scale",
         model.folder().path.string());
  }
  const ImageProcessor& processor = built->image_processor();
  Contrastive objective(data, test_loader(recipe, processor), tokenizer, recipe, processor,
                        options.ranks);
  LoaderOptions loading = training_loader(recipe, processor);
  loading.sampling.drop_last = true;  // a smaller batch has fewer texts to choose from
  return train(model, objective, data.train, loading, recipe, options);
}

}  // namespace ocelli
