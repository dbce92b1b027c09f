// Which similarity transforms do the patches of two pictures speak for? Mutual nearest patches each
// say where a piece of one picture lies in the other; two of them make a transform, and the others
// vote for it (as RANSAC, but over all pairs of the best matches: nothing is drawn at random).
#pragma once

#include <vector>

#include "ocelli/curate/registration.h"

namespace ocelli {

// Features of patches in rows, [height * width, C] of length 1, and the size of the picture that
// they cover evenly, in coordinates of GreyPyramid.
struct PatchGrid {
  Tensor features;
  int64_t rows = 0, columns = 0;
  double height = 0, width = 0;
};

// The transforms with the most matches, best first, at most `count`, none like another.
std::vector<Vote> vote(const PatchGrid& a, const PatchGrid& b, int count);

}  // namespace ocelli
