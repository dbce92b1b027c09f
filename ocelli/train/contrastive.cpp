#include "ocelli/train/contrastive.h"

#include <algorithm>
#include <numeric>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/loading.h"
#include "ocelli/train/projections.h"

namespace ocelli {

Tensor contrastive_loss(const TrainableModel& model, const Tensor& images, const Tensor& texts) {
  check(images.rank() == 2 && images.shape() == texts.shape(),
        "contrastive_loss: images are {} and texts {}", images.shape(), texts.shape());
  const Tensor scale = exp(model.tensor("logit_scale"));
  const Tensor logits = matmul(normalize(images), normalize(texts).transpose(0, 1)) * scale;
  const int64_t count = images.size(0);
  if (model.tensors().contains("logit_bias")) {
    const Tensor same = Tensor::zeros({count, count});
    for (int64_t i = 0; i < count; ++i) same.data<float>()[i * count + i] = 1;
    return sigmoid_cross_entropy(logits + model.tensor("logit_bias"), same);
  }
  const Tensor own = Tensor::empty({count}, DType::i32);
  std::iota(own.data<int32_t>(), own.data<int32_t>() + count, 0);
  return (cross_entropy(logits, own) + cross_entropy(logits.transpose(0, 1), own)) * 0.5f;
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
                                         std::span<const int64_t> own) {
  const Tensor scores = matmul(texts, images.transpose(0, 1));
  const int64_t count = scores.size(0), among = scores.size(1);
  int64_t first = 0, among_five = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float* row = scores.data<float>() + i * among;
    const float right = row[own[static_cast<size_t>(i)]];
    const int64_t better = std::count_if(row, row + among, [&](float x) { return x > right; });
    first += better < 1;
    among_five += better < 5;
  }
  const auto n = static_cast<double>(count);
  return {{"test_recall1", static_cast<double>(first) / n},
          {"test_recall5", static_cast<double>(among_five) / n}};
}

namespace {

// x [B, D] -> the rows of all ranks [ranks B, D], in their order. Each rank computes the loss of
// all rows; the mean of the ranks' gradients is its gradient when each rank's own rows count
// `ranks` times.
Tensor gather(const Tensor& x, const Ranks& ranks) {
  if (ranks.size() == 1) return x;
  const int64_t count = x.size(0), begin = count * ranks.rank(), world = ranks.size();
  const Tensor all = Tensor::empty({count * world, x.size(1)});
  const Tensor mine = contiguous(x);
  ranks.gather(mine.values<float>(), all.values<float>());
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("gather", all,
                 [x = Place(x), begin, count, world](const Tensor& dy, Gradients& gradients) {
                   gradients.add(x, dy.slice(0, begin, begin + count) * static_cast<float>(world));
                 });
  }
  return all;
}

class Contrastive final : public Objective {
 public:
  Contrastive(const CaptionData& data, const LoaderOptions& loading, const Tokenizer& tokenizer,
              const Ranks& ranks)
      : test_(data.test), loading_(loading), tokenizer_(tokenizer), ranks_(ranks) {}

  Tensor loss(const TrainableModel& trained, const Model& model, const Batch& batch,
              int64_t) override {
    return contrastive_loss(trained, gather(model.embed_image(batch.images), ranks_),
                            gather(embed_texts(model, batch.captions), ranks_));
  }

  void after_step(const TrainableModel& trained, int64_t) override { clamp_logit_scale(trained); }

  std::vector<Metric> evaluate(const Model& model) const override {
    if (!test_) return {};
    std::vector<Tensor> images, texts;
    Loader loader(test_, loading_);
    while (const std::optional<Batch> batch = loader.next()) {
      images.push_back(normalize(model.embed_image(batch->images)));
      texts.push_back(normalize(embed_texts(model, batch->captions)));
    }
    const Tensor all = cat(texts, 0);
    std::vector<int64_t> own(static_cast<size_t>(all.size(0)));
    std::iota(own.begin(), own.end(), 0);
    return text_to_image_recall(all, cat(images, 0), own);
  }

  std::string best() const override { return test_ ? "test_recall5" : ""; }

 private:
  Tensor embed_texts(const Model& model, const std::vector<std::string>& captions) const {
    const TokenBatch tokens = encode_texts(model, tokenizer_, captions);
    return model.embed_text(tokens.ids, to(tokens.mask, DType::u8));
  }

  std::shared_ptr<const Dataset> test_;
  LoaderOptions loading_;
  const Tokenizer& tokenizer_;
  const Ranks& ranks_;
};

}  // namespace

Trained train_contrastive(TrainableModel& model, const CaptionData& data,
                          const Tokenizer& tokenizer, const TrainRecipe& recipe,
                          const TrainOptions& options) {
  if (!model.folder().towers.empty()) {
    refuse_ranks(options, "projections over two towers");
    return train_projections(model, data, tokenizer, recipe, options);
  }
  const std::unique_ptr<Model> built = model.build();
  if (!built->has_text() || !model.tensors().contains("logit_scale")) {
    fail(ErrorCode::unsupported, "{}: contrastive training needs a text tower and a logit_scale",
         model.folder().path.string());
  }
  const ImageProcessor& processor = built->image_processor();
  Contrastive objective(data, test_loader(recipe, processor), tokenizer, options.ranks);
  LoaderOptions loading = training_loader(recipe, processor);
  loading.drop_last = true;  // a smaller batch has fewer texts to choose from
  return train(model, objective, data.train, loading, recipe, options);
}

}  // namespace ocelli
