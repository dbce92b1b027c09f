// What is wrong with a file or a picture before anything is learnt from it.
#pragma once

#include <string>

#include "ocelli/image/decode.h"

namespace ocelli {

struct QualityMeasures {
  int64_t width = 0, height = 0;
  double sharpness = 0;   // variance of the Laplacian of grey, the longer side at most 512 pixels
  double brightness = 0;  // mean grey, 0 to 1
  double contrast = 0;    // standard deviation of grey, 0 to 1
  double entropy = 0;     // bits of the histogram of grey, 0 to 8
  double solid = 0;       // share of the commonest of 16 x 16 x 16 colours
  double text = 0;        // share that lines of text cover (text_cover.h)

  double aspect() const;  // longer by shorter side
};

QualityMeasures measure_quality(const Image& image);

// Pictures beyond any of these are left out.
struct QualityLimits {
  int64_t min_side = 64;
  double max_aspect = 4;
  double min_sharpness = 15;
  double min_brightness = 0.05, max_brightness = 0.95;
  double min_contrast = 0.03;
  double min_entropy = 3;
  double max_solid = 0.8;
  double max_text = 1;
};

// The first limit that is broken, in words ("blurred: sharpness 4.1 < 15"), or nothing.
std::string quality_complaint(const QualityMeasures& measures, const QualityLimits& limits);

// What the bytes say about a file that is meant to be an image: "" (good), "empty", "no image",
// "wrong extension: png", "animated".
std::string file_complaint(const std::string& path, std::span<const std::byte> bytes);

}  // namespace ocelli
