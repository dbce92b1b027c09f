// What probes and prompts learn from: features of labelled images, drawn a few a class, over many
// random choices (Vinyals et al., arXiv 1606.04080).
#pragma once

#include <optional>
#include <vector>

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"
#include "ocelli/engine/logistic_regression.h"

namespace ocelli {

struct FewShotData {
  LabelledRows known;                          // of the training images
  std::optional<LabelledRows> asked;           // of the test images, their classes by those names
  std::vector<std::vector<int64_t>> of_class;  // the rows of each class of `known`
};

// Throws invalid_argument for fewer than two classes, a class of `test` that `train` lacks, a class
// of no image, or of fewer than `shots`, and where nothing is left to ask: before the images are
// embedded.
void check_shots(const ClassImages& train, const std::optional<ClassImages>& test, int64_t shots);

// What `forward` makes of the images that can be read; the others go into `errors`. Of several
// ranks each computes a share, and all get the whole. Throws as check_shots() where the images that
// cannot be read are missed, and when none can.
FewShotData few_shot_data(const OpenModel& opened, const ClassImages& train,
                          const std::optional<ClassImages>& test, const Forward& forward,
                          const RunOptions& train_run, const RunOptions& test_run, int64_t shots,
                          std::vector<ItemError>& errors);

struct Episode {
  LabelledRows known, asked;
};
// `shots` of each class to know; the test images are asked, or the others. A function of its
// arguments.
Episode draw(const FewShotData& data, int64_t shots, uint64_t seed, int64_t episode);

// Of one number an episode: the mean, and half the width of its 95 % interval (of one number 0).
struct Estimate {
  double mean = 0, interval = 0;
};
Estimate estimate(const std::vector<double>& numbers);

}  // namespace ocelli
