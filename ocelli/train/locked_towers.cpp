#include "ocelli/train/locked_towers.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "ocelli/models/registry.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/across_ranks.h"
#include "ocelli/train/contrastive.h"

namespace ocelli {
namespace {

constexpr int64_t kImages = 32;  // at a time

class Selected final : public Dataset {
 public:
  Selected(std::shared_ptr<const Dataset> data, std::vector<int64_t> samples)
      : data_(std::move(data)), samples_(std::move(samples)) {}

  std::optional<int64_t> size() const override { return std::ssize(samples_); }
  Sample get(int64_t index) const override { return data_->get(sample(index)); }
  std::string id(int64_t index) const override { return data_->id(sample(index)); }
  const std::vector<std::string>& classes() const override { return data_->classes(); }

 private:
  int64_t sample(int64_t index) const { return samples_[static_cast<size_t>(index)]; }

  std::shared_ptr<const Dataset> data_;
  std::vector<int64_t> samples_;
};

}  // namespace

LockedTowers::LockedTowers(const ModelFolder& folder, const Tokenizer& tokenizer,
                           const Ranks& ranks)
    : weights_(folder.checkpoint, {.rename = find_family(folder).rename(folder)}),
      model_(find_family(folder).load(folder, weights_)),
      tokenizer_(tokenizer),
      ranks_(ranks) {}

Features LockedTowers::operator()(const std::shared_ptr<const Dataset>& data, bool captions,
                                  const Progress& progress) const {
  const int64_t count = data->size().value_or(0);
  check(count > 0, "train: tables and folders have features, not shards");
  std::map<std::string, size_t> images;
  std::vector<size_t> image_of;
  std::vector<int64_t> firsts;  // the first sample of each image
  for (int64_t i = 0; i < count; ++i) {
    const auto [image, is_new] = images.emplace(data->id(i), images.size());
    image_of.push_back(image->second);
    if (is_new) firsts.push_back(i);
  }

  Features result;
  std::vector<Tensor> rows;
  std::string readable;  // a character an image of this rank's share
  if (const auto [begin, end] = share_of(ranks_, std::ssize(firsts)); begin < end) {
    const std::vector<int64_t> share(firsts.begin() + begin, firsts.begin() + end);
    LoaderOptions loading;
    loading.batch_size = kImages;
    loading.sampling.shuffle = false;
    loading.processor = model_->image_processor();
    Loader loader(std::make_shared<Selected>(data, share), loading);
    while (const auto batch = loader.next()) {
      const Tensor features = model_->image_features(batch->images);
      for (int64_t i = 0; i < batch->size(); ++i) {
        const bool itself = batch->indices[static_cast<size_t>(i)] == std::ssize(readable);
        if (itself) rows.push_back(features.slice(0, i, i + 1));
        readable += itself ? '1' : '0';
      }
      if (progress) progress(std::ssize(readable), end - begin);
    }
    result.bad = loader.bad_samples();
    for (BadSample& bad : result.bad) bad.index = share[static_cast<size_t>(bad.index)];
  }
  result.images = gather_rows(ranks_, rows);

  std::string all;
  for (const std::string& part : gather(ranks_, readable)) all += part;
  std::vector<int64_t> row_of(all.size());
  for (size_t i = 0, row = 0; i < all.size(); ++i) row_of[i] = all[i] == '1' ? row++ : -1;
  const std::vector<std::string> of_data =
      captions ? data->captions() : std::vector<std::string>(image_of.size());
  std::vector<std::string> texts;
  result.texts_of.resize(static_cast<size_t>(result.images.size(0)));
  for (size_t i = 0; i < image_of.size(); ++i) {
    const int64_t row = row_of[image_of[i]];
    if (row < 0) continue;
    result.texts_of[static_cast<size_t>(row)].push_back(std::ssize(texts));
    result.image_of.push_back(row);
    texts.push_back(of_data[i]);
  }
  if (!captions) return result;
  const auto [begin, end] = share_of(ranks_, std::ssize(texts));
  result.texts = gather_rows(ranks_, by_batches(std::span(texts).subspan(begin, end - begin)));
  return result;
}

Tensor LockedTowers::of_texts(const std::vector<std::string>& texts) const {
  return cat(by_batches(texts), 0);
}

// Texts of about the same length together, since a batch is as long as its longest.
std::vector<Tensor> LockedTowers::by_batches(std::span<const std::string> texts) const {
  constexpr size_t kBatch = 64;
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return texts[i].size(); });
  std::vector<Tensor> rows(texts.size());
  for (size_t begin = 0; begin < texts.size(); begin += kBatch) {
    throw_if_cancelled();
    const std::span some = std::span(order).subspan(begin, std::min(kBatch, texts.size() - begin));
    std::vector<std::string> batch;
    for (const size_t i : some) batch.push_back(texts[i]);
    const TokenBatch tokens = encode_texts(*model_, tokenizer_, batch);
    const Tensor features = model_->text_features(tokens.ids, to(tokens.mask, DType::u8));
    for (int64_t row = 0; const size_t i : some) {
      rows[i] = features.slice(0, row, row + 1);
      ++row;
    }
  }
  return rows;
}

}  // namespace ocelli
