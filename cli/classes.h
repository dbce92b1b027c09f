// What classes images are told by, for the commands that take them: the model's own, those of
// --labels, or those that `ocelli train prompts` has learnt.
#pragma once

#include <optional>

#include "cli/common.h"
#include "ocelli/engine/classify.h"

namespace ocelli::cli {

struct Classes {
  std::string labels, templates = "none", prompts, method;

  void add(CLI::App& command);  // --labels --templates --prompts --method
  // That of --prompts, unless `command` was given one, which must have the same weights.
  std::shared_ptr<const OpenModel> open_model(const CLI::App& command, Common& common) const;
  // Those of --labels or --prompts, where there are any.
  std::optional<Classifier> given(const std::shared_ptr<const OpenModel>& opened,
                                  const Common& common) const;
  // Those, else `names` where --templates is given or the model has no classes of its own.
  Classifier open(const CLI::App& command, Common& common,
                  const std::vector<std::string>& names = {}) const;
};

}  // namespace ocelli::cli
