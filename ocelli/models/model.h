// What a family offers to the engine. A model is immutable after construction and const to call, so
// threads share it without a lock. Tasks a family does not have throw unsupported.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/image/preprocess.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

// How image and text embeddings (both of length 1) make scores:
// softmax over texts of scale * <image, text>, or, per pair, sigmoid(scale * <image, text> + bias).
struct Similarity {
  float scale = 1;
  float bias = 0;
  bool sigmoid = false;
};

// What the text tower wants from the tokenizer.
struct TextFormat {
  int64_t context_length = 0;  // texts are cut here
  bool pad_to_length = true;   // else to the longest of the batch
};

// The tokens of a transformer over patches: class (and distillation) tokens, registers, then the
// patches from the top left, row by row; a row has as many as `patch` fits into the width.
struct TokenLayout {
  int64_t class_tokens = 0, registers = 0;
  int64_t patch = 0;  // pixels along a side

  int64_t prefix() const { return class_tokens + registers; }
};

struct FeatureRequest {
  std::vector<int> layers;  // 0-based; negative from the end
  bool norm = false;        // through the final norm, as DINOv2's get_intermediate_layers
  Tensor mask = {};         // [B, patches] u8: 1 puts the mask token there, where the model has one
};

class Model {
 public:
  virtual ~Model() = default;

  virtual const ImageProcessor& image_processor() const = 0;
  // Height and width the position embeddings were trained for.
  virtual std::array<int64_t, 2> native_size() const = 0;
  virtual int64_t embedding_size() const = 0;

  // [B, H, W, 3] normalised pixels -> [B, embedding_size], not normalised.
  virtual Tensor embed_image(const Tensor& pixels) const = 0;

  virtual bool has_classifier() const { return false; }
  virtual Tensor classify(const Tensor& pixels) const;     // -> [B, classes] logits
  virtual const std::vector<std::string>& labels() const;  // one a class; may be empty
  // The logits of each classifier, of which classify() is the mean: a distilled ViT has that of the
  // class token and that of the distillation token.
  virtual std::vector<Tensor> classifiers(const Tensor& pixels) const { return {classify(pixels)}; }

  virtual bool has_text() const { return false; }
  virtual TextFormat text_format() const;
  // ids [B, T] i32, mask [B, T] u8 (1 where a token is) -> [B, embedding_size], not normalised.
  virtual Tensor embed_text(const Tensor& ids, const Tensor& mask) const;
  virtual Similarity similarity() const;
  // Texts with vectors in them that were learnt instead of looked up: in ids [B, T] i32 the M
  // tokens behind the first are not read but stand for the rows of context [M, context_width()];
  // mask as embed_text has it. 0 where the family has no such texts.
  virtual int64_t context_width() const { return 0; }
  virtual Tensor embed_prompt(const Tensor& ids, const Tensor& mask, const Tensor& context) const;

  // The two steps of embed_image and embed_text where a projection follows each tower, so that
  // projections can learn from what the towers have said once: -> [B, features], and
  // [B, features] -> [B, embedding_size].
  virtual Tensor image_features(const Tensor& pixels) const;
  virtual Tensor text_features(const Tensor& ids, const Tensor& mask) const;
  virtual Tensor project_image(const Tensor& features) const;
  virtual Tensor project_text(const Tensor& features) const;

  // Number of blocks, and the tokens [B, N, C] (or the map [B, H, W, C]) after those asked for.
  virtual int64_t depth() const = 0;
  virtual std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const;
  // Nothing for models that are no transformers over patches. Those that are call attention() once
  // a block before any other use of it, so that an AttentionObserver can number the blocks.
  virtual std::optional<TokenLayout> token_layout() const { return {}; }
  // Each patch in the space of text embeddings: [B, patches, embedding_size], not normalised.
  virtual Tensor embed_patches(const Tensor& pixels) const;
};

// For models without a mask token. Throws unsupported where one is asked for.
void refuse_mask(const FeatureRequest& request);

// Keeps what features() has promised while a tower of `depth` blocks runs.
class LayerTap {
 public:
  LayerTap() = default;                                     // keeps nothing
  LayerTap(const std::vector<int>& layers, int64_t depth);  // throws for a layer that is not there

  void operator()(int64_t layer, const Tensor& x);  // after each block
  std::vector<Tensor> take() { return std::move(kept_); }

 private:
  std::vector<int64_t> layers_;
  std::vector<Tensor> kept_;
};

}  // namespace ocelli
