// Patches in three colours, as the figures of DINOv2 (arXiv 2304.07193, section 7.5) show them.
#pragma once

#include <span>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// `patches` are [rows, columns, C], one an image, of equal C; the components are shared by all.
// A patch is foreground where it lies on the positive side of the first component, which is turned
// so that the borders of the images lie on the other; with `whole`, everything is foreground. The
// first three components of the foreground patches alone are their colours, each from 0 to 1 over
// all images; the background is 0. Returns [rows, columns, 3] an image.
std::vector<Tensor> patch_pca(std::span<const Tensor> patches, bool whole = false);

}  // namespace ocelli
