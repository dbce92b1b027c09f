// Contrastive training of a model with an image and a text tower, on images with captions.
#pragma once

#include <span>

#include "ocelli/text/tokenizer.h"
#include "ocelli/train/trainer.h"

namespace ocelli {

// images, texts [B, E], a pair a row, of length 1. CLIP's symmetric cross entropy over the batch
// (Radford et al., arXiv 2103.00020); SigLIP's sigmoid loss (Zhai et al., arXiv 2303.15343) where
// the model has a logit_bias. With `chunk` no more than so many rows of the [B, B] similarities are
// kept. Throws not_found for a model without logit_scale.
Tensor contrastive_loss(const TrainableModel& model, const Tensor& images, const Tensor& texts,
                        int64_t chunk = 0);

// What a teacher's pairs add, rows of length 1 compared at its scale: the cross entropy of each
// row's softmax over the batch with the teacher's, the mean of both directions. open_clip's
// DistillClipLoss.
struct TeacherPairs {
  Tensor images, texts;
  float scale = 1;
};
Tensor clip_distillation(const TrainableModel& model, const Tensor& images, const Tensor& texts,
                         const TeacherPairs& teacher, int64_t chunk = 0);

// Cut and padded as the model's text_format() says.
TokenBatch encode_texts(const Model& model, const Tokenizer& tokenizer,
                        std::span<const std::string> texts);

// [0, ln 100], as CLIP and open_clip keep it.
void clamp_logit_scale(const TrainableModel& model);

// Shares of `texts` [N, E] that find their image first, and among the first five, in `images`
// [M, E], rows of length 1; text i belongs to image own[i].
std::vector<Metric> text_to_image_recall(const Tensor& texts, const Tensor& images,
                                         const std::vector<int64_t>& own);

struct CaptionData {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;  // or null: images among which captions find their own
};

// Measures after each epoch which share of the test captions find their image first, and among the
// first five. With recipe.grad_cache, images and texts go through their towers so many at a time,
// and again for their gradients: the batch that is compared is as large as memory has room for its
// pixels (Gao et al., arXiv 2101.06983). With recipe.distill a larger model's similarities are
// learnt besides: a student's softmax over the batch, of either direction, is compared with the
// teacher's. Towers that are folders of their own do not learn (projections.h). Throws unsupported
// for a model without a text tower.
Trained train_contrastive(TrainableModel& model, const CaptionData& data,
                          const Tokenizer& tokenizer, const TrainRecipe& recipe,
                          const TrainOptions& options);

}  // namespace ocelli
