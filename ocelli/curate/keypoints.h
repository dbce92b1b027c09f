// Points of a picture that can be found again when it was turned, cropped, or pasted into another:
// corners at several sizes, each with a direction and 256 comparisons of brightness around it.
// Rublee et al., "ORB: an efficient alternative to SIFT or SURF" (2011).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ocelli/curate/registration.h"

namespace ocelli {

struct Keypoint {
  double x = 0, y = 0;  // in coordinates of GreyPyramid
  double angle = 0;     // towards the bright side, radians
  double size = 1;      // of a pixel of the level that it was found on
};

using Comparisons = std::array<uint64_t, 4>;

// About 30 KB.
struct Keypoints {
  // How a picture may have been changed before it is compared.
  static constexpr int kPlain = 0, kMirrored = 1, kNegative = 2, kVariants = 4;

  std::vector<Keypoint> points;
  // Of each point: as it is, mirrored, negative, and both.
  std::array<std::vector<Comparisons>, kVariants> comparisons;
};

Keypoints find_keypoints(const Image& image);

// The transforms that most of the mutual nearest points agree on, best first, at most one of each
// variant and of the two signs of each together; none that fewer than four agree on.
std::vector<Vote> vote(const Keypoints& a, const Keypoints& b);

}  // namespace ocelli
