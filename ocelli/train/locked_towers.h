// Towers that do not learn: what they make of images and texts is computed once, before training.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/base/ranks.h"
#include "ocelli/data/loader.h"
#include "ocelli/models/model.h"
#include "ocelli/nn/weights.h"
#include "ocelli/text/tokenizer.h"

namespace ocelli {

// Of a dataset: a row an image, which may be that of several samples. Images that cannot be read
// are left out with their samples.
struct Features {
  Tensor images;                               // [N, F]
  Tensor texts;                                // [samples, T] of the captions
  std::vector<int64_t> image_of;               // the row of each sample
  std::vector<std::vector<int64_t>> texts_of;  // the samples of each row
  std::vector<BadSample> bad;                  // that this rank has met
};

class LockedTowers {
 public:
  LockedTowers(const ModelFolder& folder, const Tokenizer& tokenizer, const Ranks& ranks);

  const Model& model() const { return *model_; }
  const Weights& weights() const { return weights_; }

  // Each rank computes a share, and all get the whole. Throws invalid_argument for shards, whose
  // samples are not known before they are read, and corrupt_data where hardly an image can be.
  Features operator()(const std::shared_ptr<const Dataset>& data, bool captions,
                      const Progress& progress) const;
  // [texts, T]
  Tensor of_texts(const std::vector<std::string>& texts) const;

 private:
  std::vector<Tensor> by_batches(std::span<const std::string> texts) const;

  Weights weights_;
  std::unique_ptr<Model> model_;
  const Tokenizer& tokenizer_;
  const Ranks& ranks_;
};

}  // namespace ocelli
