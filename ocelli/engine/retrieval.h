// How well images find their captions and captions their images.
#pragma once

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"
#include "ocelli/train/neighbours.h"

namespace ocelli {

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
