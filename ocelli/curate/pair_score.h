// The second look: are two pictures the same photograph?
#pragma once

#include <optional>
#include <string>

#include "ocelli/curate/keypoints.h"
#include "ocelli/curate/patch_match.h"
#include "ocelli/curate/perceptual_hash.h"
#include "ocelli/curate/registration.h"
#include "ocelli/engine/open.h"

namespace ocelli {

// What a comparison needs of a picture. About 400 KB with ViT-Ti.
struct ImageSketch {
  PerceptualHash hash = {};
  Keypoints keypoints;
  GreyPyramid grey;
  PatchGrid patches, mirrored;  // of the picture and of its mirror image
};

ImageSketch sketch(const OpenModel& opened, const Image& image);

struct PairEvidence {
  float cosine = 0;  // of the embeddings
  int hash_distance = 64;
  int keypoints = 0;  // that agree on a transform
  Agreement agreement = {};
  Tones tones = Tones::same;
  bool mirrored = false;
  double scale = 1, turn = 0;  // of the transform; turn in degrees
};

// Pictures that neither the cosine nor the hashes nor their keypoints bring together are not laid
// over each other: no evidence.
std::optional<PairEvidence> compare(const ImageSketch& a, const ImageSketch& b, float cosine);

// The probability that it is the same photograph, by a fixed formula (docs/curation.md).
float duplicate_score(const PairEvidence& evidence);

// "mirrored, turned by 7 degrees, cropped to 43 %; ...": in words.
std::string describe(const PairEvidence& evidence);

}  // namespace ocelli
