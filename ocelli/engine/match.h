// How alike images and texts are.
#pragma once

#include "ocelli/engine/embed.h"

namespace ocelli {

struct Match {
  std::vector<std::string> images;  // those that could be read, in input order
  std::vector<std::string> texts;
  Tensor similarity;  // [images, texts], cosines
  std::vector<ItemError> errors;
};

Match match(const OpenModel& opened, std::span<const std::string> paths,
            std::vector<std::string> texts, const RunOptions& options,
            const Progress& text_progress = {});

// A first row with the texts, then a row an image, its path first. Written atomically.
void write_match_csv(const std::string& path, const Match& match, const Tensor& values);

}  // namespace ocelli
