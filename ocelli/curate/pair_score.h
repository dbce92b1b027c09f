// The second look: are two pictures the same photograph?
#pragma once

#include <string>

#include "ocelli/curate/patch_match.h"
#include "ocelli/curate/registration.h"
#include "ocelli/engine/open.h"

namespace ocelli {

// What a comparison needs of a picture. About 400 KB with ViT-Ti.
struct ImageSketch {
  uint64_t hash = 0;
  GreyPyramid grey;
  PatchGrid patches, mirrored;  // of the picture and of its mirror image
};

ImageSketch sketch(const OpenModel& opened, const Image& image);

struct PairEvidence {
  float cosine = 0;  // of the embeddings
  int hash_distance = 64;
  int matches = 0;        // patches that vote for the transform
  float correlation = 0;  // of everything that lies over each other
  Agreement agreement = {};
  bool mirrored = false;
  double scale = 1, turn = 0;  // of the transform; turn in degrees
};

PairEvidence compare(const ImageSketch& a, const ImageSketch& b, float cosine);

// The probability that it is the same photograph, by a fixed formula (docs/curation.md).
float duplicate_score(const PairEvidence& evidence);

// "mirrored, turned by 7 degrees, cropped to 43 %; ...": in words.
std::string describe(const PairEvidence& evidence);

}  // namespace ocelli
