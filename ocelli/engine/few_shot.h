// What probes and prompts learn from: features of labelled images, drawn a few a class, over many
// random choices (Vinyals et al., arXiv 1606.04080).
#pragma once

#include <vector>

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"
#include "ocelli/engine/logistic_regression.h"

namespace ocelli {

// What `forward` makes of the images that can be read; the others go into `errors`. Throws
// invalid_argument when there is none.
LabelledRows labelled_rows(const OpenModel& opened, const ClassImages& data, const Forward& forward,
                           const RunOptions& run, std::vector<ItemError>& errors);

// The rows of each class. Throws invalid_argument for a class of none, or of fewer than `shots`.
std::vector<std::vector<int64_t>> rows_by_class(const LabelledRows& known, const ClassImages& data,
                                                int64_t shots);

// The rows of an episode: `shots` of each class to know, the others.
struct Draw {
  std::vector<int64_t> known, rest;
};
// A function of its arguments.
Draw draw(const std::vector<std::vector<int64_t>>& of_class, int64_t shots, uint64_t seed,
          int64_t episode);

// Of one number an episode: the mean, and half the width of its 95 % interval (of one number 0).
struct Estimate {
  double mean = 0, interval = 0;
};
Estimate estimate(const std::vector<double>& numbers);

}  // namespace ocelli
