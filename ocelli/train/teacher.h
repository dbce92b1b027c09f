// Distillation: a model learns from what a larger one makes of the same images (Hinton et al.,
// arXiv 1503.02531). Reference: timm/task, for DeiT's token Touvron et al., arXiv 2012.12877;
// open_clip's DistillClipLoss for two towers.
#pragma once

#include "ocelli/models/trainable.h"
#include "ocelli/text/tokenizer.h"
#include "ocelli/train/recipe.h"

namespace ocelli {

class Teacher {
 public:
  // `path` is a model folder; its images come as `student` normalises them, in the student's size.
  Teacher(const std::string& path, const ImageProcessor& student);

  // Throws unsupported, naming the teacher, where it has no classifier of these classes, by name.
  // A teacher of as many nameless ones is believed.
  void set_classes(const std::vector<std::string>& classes);

  Tensor classify(const Tensor& images) const;  // [B, classes] logits
  Tensor embed_image(const Tensor& images) const;
  Tensor embed_texts(std::span<const std::string> texts) const;
  float scale() const { return model_->similarity().scale; }
  FixedWeights weights() const { return {path_, checksum(*checkpoint_)}; }

 private:
  Tensor own(const Tensor& images) const;

  std::string path_;
  std::shared_ptr<const TensorSource> checkpoint_;
  std::unique_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;  // of two towers
  std::array<float, 3> factor_, offset_;        // from the student's normalisation to the teacher's
  std::vector<int64_t> columns_;                // of its logits, where they are not all or in order
};

// For logits [B, C]: T^2 KL(softmax(teacher / T) | softmax(student / T)), the mean over rows, or
// with `hard` the cross entropy with the teacher's largest.
Tensor distillation_loss(const Tensor& student, const Tensor& teacher, double temperature,
                         bool hard);

}  // namespace ocelli
