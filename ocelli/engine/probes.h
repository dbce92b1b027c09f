// Probes: classes learnt on top of a model that stays as it is, from all labelled images or from a
// few a class, over many random choices of these (Vinyals et al., arXiv 1606.04080).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"
#include "ocelli/engine/logistic_regression.h"

namespace ocelli {

enum class Probe {
  linear,     // fit_logistic_regression on the features as they are
  knn,        // knn_classify, features of length 1
  prototype,  // the nearest class mean (Snell et al., arXiv 1703.05175): features and means of
              // length 1
};
Probe parse_probe(const std::string& name);

struct ProbeOptions {
  Probe probe = Probe::linear;
  std::optional<Features> features = {};  // else the embedding
  int64_t shots = 0;                      // labelled images a class; 0: all, once
  int64_t episodes = 100;                 // random choices of them
  double c = 0;                           // of linear; 0: chosen on a fifth, 1 with `shots`
  int64_t k = 20;                         // of knn
  uint64_t seed = 0;
  RunOptions train = {}, test = {};
};

struct ProbeResult {
  int64_t train = 0, count = 0, classes = 0, episodes = 1;  // images known and asked in an episode
  double top1 = 0,
         interval = 0;  // mean share of right answers, and half the width of its 95 % interval
  std::vector<std::string> labels;
  std::optional<LogisticRegression> planes;  // of linear and prototype, of the first episode
  std::vector<ItemError> errors;
};

// Without `test`, those of `train` that an episode leaves are asked. Throws invalid_argument for a
// class of `test` that `train` lacks, for a class of fewer than `shots` images, and where nothing
// is left to ask.
ProbeResult run_probe(const OpenModel& opened, const ClassImages& train,
                      const std::optional<ClassImages>& test, const ProbeOptions& options);

// Writes the model with `planes` as its classifier to a new folder, which every command opens.
// Throws unsupported for a model whose classifier does not read the embedding (or has none).
void write_classifier(const OpenModel& opened, const LogisticRegression& planes,
                      const std::vector<std::string>& labels, const std::filesystem::path& output);

}  // namespace ocelli
