// How much of a picture is writing: pages, slides, screenshots. No letter is read.
#pragma once

#include <cstdint>
#include <span>

namespace ocelli {

// The share of grey [height, width], 0 to 1, that lines of six or more letters cover. Letters are
// connected pixels darker, or lighter, than their surroundings, with the size of letters and ink of
// one brightness; a line is letters of like size side by side. Horizontal lines are found, tilted a
// few degrees. After Chen and Yuille, "Detecting and reading text in natural scenes" (2004), and
// Epshtein et al., "Detecting text in natural scenes with stroke width transform" (2010), sec. 3.3.
double text_cover(std::span<const uint8_t> grey, int64_t height, int64_t width);

}  // namespace ocelli
