// Classes of `ocelli train prompts`, for the commands that use them.
#pragma once

#include "cli/common.h"
#include "ocelli/engine/classify.h"

namespace ocelli::cli {

struct LearntPrompts {
  std::string folder, method;

  void add(CLI::App& command);  // --prompts --method
  // With the folder's own model, unless `command` was given one; that must have the same weights.
  Classifier open(const CLI::App& command, Common& common) const;
};

}  // namespace ocelli::cli
