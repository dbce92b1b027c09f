#include "cli/classes.h"

#include "ocelli/engine/prompt_folder.h"
#include "ocelli/engine/prompts.h"

namespace ocelli::cli {

void Classes::add(CLI::App& command) {
  command
      .add_option("--labels", labels,
                  "Classes for zero-shot: a file, one a line, or a list \"a dog,a cat\"")
      ->type_name(kFile)
      ->group("Model");
  command
      .add_option("--templates", templates,
                  "Prompts round the labels: openai80, none, or a file with {} for the label")
      ->type_name(kFile)
      ->group("Model");
  command
      .add_option("--prompts", prompts,
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

std::shared_ptr<const OpenModel> Classes::open_model(const CLI::App& command,
                                                     Common& common) const {
  if (!prompts.empty() && command.count("--model") == 0) {
    const PromptModel own = model_of_prompts(prompts);
    common.model = own.name;
    if (common.size.empty()) common.size = own.size;
  }
  return common.open();
}

std::optional<Classifier> Classes::given(const std::shared_ptr<const OpenModel>& opened,
                                         const Common& common) const {
  if (!prompts.empty()) return Classifier(opened, open_prompts(*opened, prompts, method));
  if (labels.empty()) return std::nullopt;
  return Classifier(opened, read_label_list(labels), read_templates(templates),
                    common.progress("embedding labels"));
}

Classifier Classes::open(const CLI::App& command, Common& common,
                         const std::vector<std::string>& names) const {
  const auto opened = open_model(command, common);
  if (auto classifier = given(opened, common)) return *std::move(classifier);
  const bool by_name = command.count("--templates") > 0 || !opened->model->has_classifier();
  if (names.empty() || !by_name) return Classifier(opened);
  return Classifier(opened, names, read_templates(templates), common.progress("embedding labels"));
}

}  // namespace ocelli::cli
