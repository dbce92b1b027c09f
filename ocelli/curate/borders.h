// What of a picture is frame, bar or screenshot round a photograph.
#pragma once

#include "ocelli/image/image.h"

namespace ocelli {

// The share of the picture that is left when rows and columns at its sides that are for the most
// part of one colour are taken off; 1 when there are none.
double share_without_borders(const Image& image);

}  // namespace ocelli
