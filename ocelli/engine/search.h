// Search in an index by texts, images and vectors.
#pragma once

#include "ocelli/engine/embed.h"
#include "ocelli/index/image_index.h"

namespace ocelli {

// Texts and names of images, wanted and not. A name is an image where such a file exists or the
// name ends like an image's; all else is a text.
struct Query {
  std::vector<std::string> like, unlike;
};

// The embeddings [D], those of `unlike` subtracted from the sum of `like`, at length 1. Throws
// unsupported for texts where the model has no text tower.
Tensor embed_query(const OpenModel& opened, const Query& query, const DecodeOptions& decode = {});

// A vector from a file, at length 1; [width] or [1, width]. Throws invalid_argument naming both
// widths, and for a vector of zeros.
Tensor read_query(const std::string& file, int64_t width);

struct FoundImage {
  ImageRecord image;
  float score = 0;                  // cosine
  std::vector<std::string> folded;  // further images like it
};

struct SearchOptions {
  ImageIndex::Search search = {};
  // Images at least so alike (cosine) as one before them, or with the same bytes, are folded into
  // it and make room for others.
  std::optional<float> fold;
};

// Best first.
std::vector<FoundImage> search_index(const ImageIndex& index, const Tensor& query,
                                     const SearchOptions& options);

}  // namespace ocelli
