// Classes of an image: by the model's own head, or zero-shot from names (Radford et al., arXiv
// 2103.00020, section 3.1).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/engine/embed.h"
#include "ocelli/train/prompts.h"

namespace ocelli {

struct Prediction {
  int64_t index = 0;
  std::string label;
  float probability = 0;
};

// Classes by their texts, and by labelled images beside them.
struct ClassPrompts {
  std::vector<std::string> labels;
  Tensor texts;  // [classes, D], of length 1
  std::optional<ImageCache> cache = {};
};

class Classifier {
 public:
  // The model's own head. Throws unsupported when it has none.
  explicit Classifier(std::shared_ptr<const OpenModel> opened);
  // Zero-shot: a class is the mean of the embeddings of its label in all templates.
  Classifier(const std::shared_ptr<const OpenModel>& opened, const std::vector<std::string>& labels,
             const std::vector<std::string>& templates, const Progress& progress = {});
  Classifier(std::shared_ptr<const OpenModel> opened, ClassPrompts prompts);

  const OpenModel& model() const { return *opened_; }
  // One a class.
  const std::vector<std::string>& labels() const { return labels_; }
  // [B, H, W, 3] -> [B, classes]: softmax, or one sigmoid a class for models trained so (SigLIP).
  Tensor operator()(const Tensor& pixels) const;

 private:
  std::shared_ptr<const OpenModel> opened_;
  std::vector<std::string> labels_;
  LinearWeight classes_;  // [classes, D], of length 1; unused with a head
  std::optional<ImageCache> cache_;
  bool zero_shot_ = false;
};

// The k most probable classes of a row [classes], best first.
std::vector<Prediction> top_k(const Tensor& row, const std::vector<std::string>& labels, int64_t k);

}  // namespace ocelli
