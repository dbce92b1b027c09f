// Maps drawn over the photograph they explain.
#pragma once

#include "ocelli/image/preprocess.h"

namespace ocelli {

// A map of scalars [rows, columns] in colours from dark (the least) to bright (the most), smooth,
// or colours [rows, columns, 3] from 0 to 1, patch by patch, black ones left out. What the model
// does not see of the photograph is darkened.
Image overlay(const Image& photo, const Tensor& map, const SeenPart& seen);

}  // namespace ocelli
