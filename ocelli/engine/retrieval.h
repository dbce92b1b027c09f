// How well images find their captions and captions their images. Recall at K of Hodosh et al.,
// "Framing image description as a ranking task" (2013), as CLIP and SigLIP report it on Flickr and
// COCO: a query counts as answered when any of its own is among the K most similar.
#pragma once

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"

namespace ocelli {

struct Recall {
  double r1 = 0, r5 = 0, r10 = 0;
};

// queries [Q, D] and keys [K, D]; `own` has the keys that answer each query. Equal similarities
// rank by the order of the keys.
Recall recall(const Tensor& queries, const Tensor& keys,
              const std::vector<std::vector<int64_t>>& own);

// Mean average precision of images that look for others of their class among all: rows [N, D] with
// the class of each. A query's precision is averaged over the places at which its class is found;
// the query itself is left out, and so are queries without another of their class. 0 without any.
double mean_average_precision(const Tensor& rows, const std::vector<int64_t>& class_of);

struct Retrieval {
  int64_t images = 0, texts = 0;  // those compared
  Recall image_to_text, text_to_image;
  std::vector<ItemError> errors;
};

// Images that fail are left out with their captions, and returned. The captions are put into
// `templates` as labels are.
Retrieval evaluate_retrieval(const OpenModel& opened, const CaptionedImages& data,
                             const std::vector<std::string>& templates, const RunOptions& options,
                             const Progress& text_progress = {});

}  // namespace ocelli
