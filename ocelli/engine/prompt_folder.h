// What learn_prompts has learnt as a folder, written and read: context.safetensors ("context" [M,
// C]), cache.safetensors ("texts" [classes, D], "keys" and "learnt_keys" [N, D], "values" [N,
// classes]) and report.json. The metadata of both has the model, its fingerprint and the classes.
#pragma once

#include <filesystem>
#include <string>

#include "ocelli/engine/classify.h"
#include "ocelli/engine/prompt_learning.h"

namespace ocelli {

// A new folder; `size` is that of images as it was asked for, or empty, and `report` is
// report.json.
void write_prompts(const OpenModel& opened, const PromptResult& result, const std::string& size,
                   const std::string& report, const std::filesystem::path& output);

// The model that a folder was learnt with, as open_model takes it, and the size of images.
struct PromptModel {
  std::string name, size;
};
PromptModel model_of_prompts(const std::filesystem::path& folder);

// Classes as `method` tells them: "coop", "tip_adapter" or "tip_adapter_f"; empty: the one with the
// highest top1 in report.json, of equals tip_adapter_f, then coop. Throws not_found for a folder
// without such a file, invalid_argument for another model than it was learnt with, and corrupt_data
// naming the file and what is wrong there.
ClassPrompts open_prompts(const OpenModel& opened, const std::filesystem::path& folder,
                          const std::string& method);

}  // namespace ocelli
