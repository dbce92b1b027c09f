// What in an image makes a model answer as it does.
#pragma once

#include <span>

#include "ocelli/engine/classify.h"

namespace ocelli {

struct ExplainOptions {
  enum class Kind {
    attention,         // of one block, one head or all
    rollout,           // attention through all blocks
    pca,               // patches in three colours, shared by the images
    similarity,        // of patches with a text
    similarity_point,  // of the patches of all images with the one at a point of the first
    occlusion,         // what covering a part takes from a class, or from the embedding's cosine
  };
  Kind kind = Kind::attention;
  int64_t layer = -1;  // negative: from the end
  std::optional<int64_t> head = {};
  bool whole = false;                         // pca: the background too
  std::string text = {};                      // similarity
  std::array<int64_t, 2> point = {0, 0};      // x, y in pixels of the first image
  std::optional<Classifier> classifier = {};  // occlusion: in place of the model's own
  std::string class_name = {};                // occlusion: empty for the answer to the first image
  DecodeOptions decode = {};
  Progress progress = {};
};

struct Explained {
  std::string path;
  Tensor map;  // [rows, columns] or, for pca, [rows, columns, 3]
  SeenPart seen;
  Image photo, picture;  // as it was read, and with the map over it
  // similarity_point: x, y in pixels of the patch that is asked for, or most like it.
  std::optional<std::array<int64_t, 2>> point = {};
};

struct Explanation {
  std::string title;  // "attention of block 11, mean of 3 heads"
  std::vector<Explained> images;
};

// Images one after the other, each at the size the model reads. Throws for the first that cannot be
// read: an explanation of several is one picture.
Explanation explain(const std::shared_ptr<const OpenModel>& opened,
                    std::span<const std::string> paths, const ExplainOptions& options);

// The pictures side by side, at most 512 pixels high when there are several.
Image picture_of(const Explanation& explanation);

// A page with each photograph beside its map; one file, nothing loaded from elsewhere. Written
// atomically.
void write_explanation_page(const std::string& path, const std::string& model,
                            const Explanation& explanation);

// The maps as one array, [rows, columns, ...] of one image or [images, rows, columns, ...].
Tensor maps_of(const Explanation& explanation);

}  // namespace ocelli
