// Embeddings of images and texts.
#pragma once

#include "ocelli/engine/open.h"
#include "ocelli/engine/pipeline.h"
#include "ocelli/ops/linear.h"

namespace ocelli {

struct TextRun {
  int64_t count = 0;
  std::function<std::string(int64_t)> text;  // called from many threads
  int64_t batch = 64;
  bool normalize = true;
  Progress progress = {};
};

// Rows [D] come in order. Texts longer than the context are cut as the reference does, and their
// number is logged once.
void embed_texts(const OpenModel& opened, const TextRun& run, const DeliverRow& deliver);

// [N, D], of length 1.
Tensor embed_texts(const OpenModel& opened, const std::vector<std::string>& texts,
                   const Progress& progress = {});

// [texts, D]: the embeddings of a text in all templates (see read_templates), averaged, of
// length 1.
Tensor embed_prompts(const OpenModel& opened, const std::vector<std::string>& texts,
                     const std::vector<std::string>& templates, const Progress& progress = {});

// Throws unsupported, naming the family, when the model has no text tower, and what
// open_tokenizer() throws: at once rather than after the images.
void check_has_text(const OpenModel& opened);

// [B, H, W, 3] -> [B, D], scaled to length 1 unless told otherwise.
Tensor embed_pixels(const OpenModel& opened, const Tensor& pixels, bool normalized = true);

// "cls", "patch-mean", "cls+mean" or "patch" of transformers over patches, after the final norm.
enum class Features { cls, patch_mean, cls_mean, patch };
Features parse_features(const std::string& name);

// Blocks of a model with `depth`, from 0: "4" names the last four, "4,8,12" those after which 4, 8
// and 12 are done, as DPT's paper and transformers' out_indices count. Throws invalid_argument.
std::vector<int> parse_layers(const std::string& text, int64_t depth);

// [B, H, W, 3] -> features of the blocks `layers` (negative: from the end) side by side: class
// tokens or mean patches [B, layers * C]; class tokens, then the last block's mean patch
// [B, (layers + 1) * C], as DINOv2's linear evaluation has them; patches [B, rows, columns,
// layers * C], as DPT's heads take them (Ranftl et al., arXiv 2103.13413). Scaled to length 1
// unless told otherwise. Throws unsupported, naming the family.
Tensor feature_pixels(const OpenModel& opened, const Tensor& pixels, Features features,
                      const std::vector<int>& layers = {-1}, bool normalized = true);

// What cosines mean to the model: a softmax over the texts (the last dimension), or a sigmoid of
// each pair for models trained so (SigLIP).
Tensor probabilities(const Tensor& cosine, const Similarity& similarity);

struct ImageEmbeddings {
  Tensor rows;                  // [N, D], of length 1
  std::vector<int64_t> images;  // the image of each row
  std::vector<ItemError> errors;
};
ImageEmbeddings embed_images(const OpenModel& opened, std::span<const std::string> paths,
                             const RunOptions& options);

}  // namespace ocelli
