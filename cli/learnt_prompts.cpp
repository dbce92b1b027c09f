#include "cli/learnt_prompts.h"

#include "ocelli/engine/prompt_folder.h"

namespace ocelli::cli {

void LearntPrompts::add(CLI::App& command) {
  command
      .add_option("--prompts", folder,
                  "Classes that 'ocelli train prompts -o' has learnt, with its model where -m is "
                  "not given")
      ->type_name(kFolder)
      ->excludes("--labels")
      ->excludes("--templates")
      ->group("Model");
  add_choice(command, "--method", method, {"coop", "tip_adapter", "tip_adapter_f"},
             "How --prompts tells classes (default: the best of its report)")
      ->needs("--prompts")
      ->group("Model");
}

Classifier LearntPrompts::open(const CLI::App& command, Common& common) const {
  if (command.count("--model") == 0) {
    const PromptModel own = model_of_prompts(folder);
    common.model = own.name;
    if (common.size.empty()) common.size = own.size;
  }
  const auto opened = common.open();
  return Classifier(opened, open_prompts(*opened, folder, method));
}

}  // namespace ocelli::cli
