// A picture of a match: rows are images, columns texts.
#pragma once

#include "ocelli/engine/match.h"

namespace ocelli {

struct HeatMap {
  const Match& match;
  const Tensor& values;           // [images, texts]
  std::string quantity;           // what the values are, for the legend
  bool from_zero_to_one = false;  // the range of the colours, else that of the values
  DecodeOptions decode = {};      // of the thumbnails
};

// Written as PNG, atomically. Throws invalid_argument when the picture would have more than
// kLargestHeatMap pixels.
constexpr int64_t kLargestHeatMap = 100'000'000;
void write_heat_map(const std::string& path, const HeatMap& map);

}  // namespace ocelli
