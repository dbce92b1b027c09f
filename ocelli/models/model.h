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

  virtual bool has_text() const { return false; }
  virtual TextFormat text_format() const;
  // ids [B, T] i32, mask [B, T] u8 (1 where a token is) -> [B, embedding_size], not normalised.
  virtual Tensor embed_text(const Tensor& ids, const Tensor& mask) const;
  virtual Similarity similarity() const;

  // Number of blocks, and the tokens [B, N, C] (or the map [B, H, W, C]) after each of `layers`
  // (0-based; negative from the end), before the final norm.
  virtual int64_t depth() const = 0;
  virtual std::vector<Tensor> features(const Tensor& pixels, const std::vector<int>& layers) const;
};

}  // namespace ocelli
