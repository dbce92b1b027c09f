// Projections in closed form: images by ridge regression onto the texts that go with them, both
// whitened in part. From few captions it generalises better than what is learnt by contrast, and
// errs elsewhere: together they are better than either (models/zero-shot/README.md).
#pragma once

#include <cstdint>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct RidgeProjections {
  Tensor image_weight, image_bias;  // [T, F], [T]
  Tensor text_weight, text_bias;    // [T, T], [T]
};

// images [N, F], and the captions [M, T] of which `captions_of[i]` are the rows of image i. With
// y_i the mean of an image's captions, bars the means over images, C the covariance of the captions
// round the mean of the y, and I unit matrices,
//
//   W = argmin_W sum_i |W (f_i - f_bar) - (y_i - y_bar)|^2 + penalty v |W|^2,
//       v = sum_i |f_i - f_bar|^2 / F
//   S = (C + 0.05 tr(C) / T I)^(-1/4)
//   image(f) = S W (f - f_bar),  text(t) = S (t - y_bar)
//
// so that a cosine is measured by C^(-1/2), halfway to where all directions of texts count the
// same. Hoerl and Kennard, Technometrics 12 (1970). Throws invalid_argument for fewer than two
// images.
RidgeProjections ridge_projections(const Tensor& images, const Tensor& captions,
                                   const std::vector<std::vector<int64_t>>& captions_of,
                                   double penalty);

}  // namespace ocelli
