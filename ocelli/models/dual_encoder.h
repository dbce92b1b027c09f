// Any image tower beside any text tower, with projections into one space: transformers'
// VisionTextDualEncoderModel, and towers that are model folders of their own, as in LiT (Zhai et
// al., arXiv 2111.07991). Reference: transformers/models/vision_text_dual_encoder.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

struct ProjectionSizes {
  int64_t width = 384;  // of embeddings
  int64_t hidden = 0;   // of the MLP beside each linear projection; 0: none
};

// The projections of towers that are folders of their own.
//
//   config.json:  {"model_type": "vision-text-dual-encoder", "projection_dim": 384,
//                  "vision_folder": "../default", "text_folder": "../all-MiniLM-L6-v2"}
//   model.safetensors:  logit_scale, and for P = visual_projection and text_projection
//     P.weight [E, F]                        x -> W x
//     P.fc1.{weight, bias}, P.fc2.weight     -> W x + W2 gelu(W1 x + b1); may be absent
//
// New ones over the two folders: random, but where texts have as many numbers as embeddings, their
// linear part begins as the unit matrix. Throws unsupported where a folder
// is no image model, or no text model.
ModelFolder new_dual_encoder(const std::filesystem::path& vision, const std::filesystem::path& text,
                             const ProjectionSizes& sizes, uint64_t seed);

extern const Family kDualEncoderFamily;

}  // namespace ocelli
