#include "ocelli/train/teacher.h"

#include <algorithm>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/contrastive.h"

namespace ocelli {

Teacher::Teacher(const std::string& path, const ImageProcessor& student) : path_(path) {
  const ModelFolder folder = ModelFolder::open(path);
  const Family& family = find_family(folder);
  checkpoint_ = folder.checkpoint;
  model_ = family.load(folder, Weights(folder.checkpoint, {.rename = family.rename(folder)}));
  if (model_->has_text()) tokenizer_ = open_tokenizer(folder.tokenizer_folder());
  const ImageProcessor& own = model_->image_processor();
  for (size_t c = 0; c < 3; ++c) {
    factor_[c] = student.std[c] * own.scale / (own.std[c] * student.scale);
    offset_[c] = (student.mean[c] * own.scale / student.scale - own.mean[c]) / own.std[c];
  }
}

void Teacher::set_classes(const std::vector<std::string>& classes) {
  if (!model_->has_classifier())
    fail(ErrorCode::unsupported, "{}: this teacher has no classifier", path_);
  const std::vector<std::string>& own = model_->labels();
  if (own.empty() || own == classes) return;
  columns_.clear();
  for (const std::string& name : classes) {
    const auto found = std::ranges::find(own, name);
    if (found == own.end()) {
      fail(ErrorCode::unsupported, "{}: this teacher does not know the class '{}'", path_, name);
    }
    columns_.push_back(found - own.begin());
  }
}

Tensor Teacher::own(const Tensor& images) const {
  const auto one = [](float x, float y) { return std::abs(x - y) < 1e-6f; };
  const bool same = std::ranges::all_of(factor_, [&](float x) { return one(x, 1); }) &&
                    std::ranges::all_of(offset_, [&](float x) { return one(x, 0); });
  if (same) return images;
  const Tensor factor = Tensor::empty({3}), offset = Tensor::empty({3});
  std::ranges::copy(factor_, factor.data<float>());
  std::ranges::copy(offset_, offset.data<float>());
  return images * factor + offset;
}

Tensor Teacher::classify(const Tensor& images) const {
  const NoTape pause;
  const Tensor logits = model_->classify(own(images));
  if (columns_.empty()) return logits;
  const auto count = static_cast<int64_t>(columns_.size());
  const Tensor chosen = Tensor::empty({logits.size(0), count});
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const float* row = logits.data<float>() + i * logits.size(1);
    for (int64_t c = 0; c < count; ++c)
      chosen.data<float>()[i * count + c] = row[columns_[static_cast<size_t>(c)]];
  }
  return chosen;
}

Tensor Teacher::embed_image(const Tensor& images) const {
  const NoTape pause;
  return normalize(model_->embed_image(own(images)));
}

Tensor Teacher::embed_texts(std::span<const std::string> texts) const {
  if (!model_->has_text())
    fail(ErrorCode::unsupported, "{}: this teacher has no text tower", path_);
  const NoTape pause;
  const TokenBatch tokens = encode_texts(*model_, *tokenizer_, texts);
  return normalize(model_->embed_text(tokens.ids, to(tokens.mask, DType::u8)));
}

Tensor distillation_loss(const Tensor& student, const Tensor& teacher, double temperature,
                         bool hard) {
  check(student.shape() == teacher.shape(),
        "distillation: the student's logits are {}, the teacher's {}", student.shape(),
        teacher.shape());
  if (hard) return cross_entropy(student, argmax(teacher));
  const auto t = static_cast<float>(temperature);
  const Tensor target = softmax(teacher * (1 / t));
  const float entropy = cross_entropy(teacher * (1 / t), target).data<float>()[0];
  return (cross_entropy(student * (1 / t), target) + -entropy) * (t * t);
}

}  // namespace ocelli
