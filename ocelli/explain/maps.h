// Where a model looks, as maps with a value a patch: [rows, columns] f32. Pixels are one normalised
// image [1, H, W, 3]. All but occlusion() throw unsupported for models without patches.
#pragma once

#include <functional>
#include <optional>

#include "ocelli/base/progress.h"
#include "ocelli/models/model.h"

namespace ocelli {

// Attention of block `layer` (negative: from the end), from the class token, or from all patches
// on average where the model has none, to each patch; of one head, or the mean over heads.
Tensor attention_map(const Model& model, const Tensor& pixels, int64_t layer,
                     std::optional<int64_t> head = std::nullopt);

// Attention through all blocks: the product of (A + I) / 2, A the mean over heads. Abnar and
// Zuidema, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928).
Tensor attention_rollout(const Model& model, const Tensor& pixels);

// Patches in the space of text embeddings, each of length 1: [rows, columns, D].
Tensor patch_embeddings(const Model& model, const Tensor& pixels);
// Cosines of patches [rows, columns, C] with a vector of length 1 [C].
Tensor patch_similarity(const Tensor& patches, const Tensor& vector);

// What covering a part of the image with the mean colour takes from the score. Zeiler and Fergus,
// arXiv 1311.2901. The image is cut into `cells` x `cells`; the square that is covered is two cells
// wide. `score` maps [B, H, W, 3] to [B].
struct OcclusionOptions {
  int64_t cells = 14, batch = 8;
  Progress progress = {};
};
Tensor occlusion(const Tensor& pixels, const std::function<Tensor(const Tensor&)>& score,
                 const OcclusionOptions& options = {});

}  // namespace ocelli
