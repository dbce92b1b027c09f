// Domain adaptation: a classifier learns from labelled images of one kind (the source) and from
// images without labels of another (the target), on which it is to work.
#pragma once

#include "ocelli/train/classify.h"

namespace ocelli {

// |C(a) - C(b)|_F^2 / (4 d^2) for a [N, d] and b [M, d], two rows or more each, where C is the
// covariance of the columns. Deep CORAL, Sun and Saenko, arXiv 1607.01719.
Tensor coral_loss(const Tensor& a, const Tensor& b);

struct DomainBatch {
  Tensor source, labels;  // [B, H, W, 3], and [B] i32 or soft [B, classes]
  Tensor weak, strong;    // [B, H, W, 3]: the same target images, a little and much changed
};

struct AdaptationLosses {
  Tensor source;    // cross entropy with the labels
  Tensor target;    // mean over all target images of the cross entropy with the teacher's class of
                    // the weak view, for the strong one, 0 where the teacher's probability is below
                    // the threshold: FixMatch, Sohn et al., arXiv 2001.07685
  Tensor coral;     // of the logits of source and strong target images, of all ranks
  double used = 0;  // share of target images above the threshold
};

AdaptationLosses adaptation_losses(const Model& student, const Model& teacher,
                                   const DomainBatch& batch, double threshold,
                                   float label_smoothing = 0, const Ranks& ranks = ocelli::ranks());

// loss = source + adapt.target_weight * target + adapt.coral_weight * coral. The teacher is an
// average of the student (Tarvainen and Valpola, arXiv 1703.01780); its model folder is teacher/ in
// a checkpoint, and test_top1 is its. `source` has the classes and the test images; `target` is
// read without labels. Throws invalid_argument for a target smaller than a batch.
Trained train_adapt(TrainableModel& model, const ClassifierData& source,
                    std::shared_ptr<const Dataset> target, const TrainRecipe& recipe,
                    const TrainOptions& options);

}  // namespace ocelli
