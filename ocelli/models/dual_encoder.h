// Any image tower beside any text tower, with projections into one space: transformers'
// VisionTextDualEncoderModel, and towers that are model folders of their own, as in LiT (Zhai et
// al., arXiv 2111.07991). Reference: transformers/models/vision_text_dual_encoder.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

struct ProjectionSizes {
  int64_t width = 384;  // of embeddings
  int64_t hidden = 0;   // of the MLP beside each linear projection; 0: none
  // Towers that are folders alone: images shrink to a shorter side of so many pixels, and are seen
  // to both ends of it; 0: as the image tower has them.
  int64_t image_size = 0;
  double ridge_weight = 0;  // of the part that a ridge regression gives (below); 0: there is none
};

// New models over an image model and a text model. Their projections are random, but where texts
// have as many numbers as embeddings, their linear part begins as the unit matrix;
// `sigmoid` is SigLIP's loss (arXiv 2303.15343): logit_scale and logit_bias as there. Throws
// unsupported where a folder is no image model, or no text model.

// Towers that learn: one folder as VisionTextDualEncoderModel has it, with the towers' tensors
// below vision_model. and text_model., without "vit." or "bert." before them. transformers takes
// a ViT's pooler_output, so one without that layer is given a new one. transformers opens it where
// both towers are its own; the tokenizer and the pooling of sentence-transformers stay.
ModelFolder new_dual_encoder(const ModelFolder& vision, const ModelFolder& text,
                             const ProjectionSizes& sizes, bool sigmoid, uint64_t seed);

// Towers that stay folders of their own and do not learn: the projections alone.
//
//   config.json:  {"model_type": "vision-text-dual-encoder", "projection_dim": 384,
//                  "vision_folder": "../default", "text_folder": "../all-MiniLM-L6-v2"}
//   model.safetensors:  logit_scale, and for P = visual_projection and text_projection
//     P.weight [E, F]                        x -> W x
//     P.fc1.{weight, bias}, P.fc2.weight     -> y = W x + W2 gelu(W1 x + b1); may be absent
//     P.ridge.{weight, bias} [T, F], [T]     -> (y / |y|, sqrt(w) r / |r|) with r = R x + b and w
//       the config's "ridge_weight": a cosine is (cos(y) + w cos(r)) / (1 + w); may be absent, and
//       is zero in a new model (train/ridge.h)
//   preprocessor_config.json: of transformers; may be absent, images are then the image tower's
ModelFolder new_projections(ModelFolder vision, ModelFolder text, const ProjectionSizes& sizes,
                            bool sigmoid, uint64_t seed);

extern const Family kDualEncoderFamily;

}  // namespace ocelli
