#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/base/ranks.h"
#include "ocelli/engine/prompt_folder.h"
#include "ocelli/engine/prompt_learning.h"
#include "ocelli/engine/prompts.h"

namespace ocelli::cli {
namespace {

struct Prompts {
  std::string train, test, output, templates = "openai80";
  PromptOptions options;
};

struct Row {
  const char* key;
  std::string name;
  Estimate top1;
};

std::vector<Row> rows_of(const PromptResult& result, const PromptOptions& options) {
  return {{"zero_shot", fmt::format("zero-shot, \"{}\"", kSingleTemplate), result.single},
          {"zero_shot_ensemble", fmt::format("zero-shot, templates: {}", options.templates.size()),
           result.ensemble},
          {"coop", fmt::format("CoOp, vectors: {}", options.context), result.context},
          {"tip_adapter", "Tip-Adapter", result.cache},
          {"tip_adapter_f", "Tip-Adapter-F", result.learnt_cache}};
}

nlohmann::ordered_json to_json(const PromptResult& result, const Prompts& prompts) {
  const PromptOptions& options = prompts.options;
  nlohmann::ordered_json json;
  for (const Row& row : rows_of(result, options))
    json[row.key] = {{"top1", row.top1.mean}, {"interval", row.top1.interval}};
  json["coop"]["first_loss"] = result.first_loss;
  json["coop"]["last_loss"] = result.last_loss;
  json["tip_adapter"]["alpha"] = result.alpha;
  json["tip_adapter"]["beta"] = result.beta;
  json["templates"] = prompts.templates;
  json["context"] = options.context;
  json["episodes"] = options.episodes;
  json["shots"] = options.shots;
  json["train"] = result.train;
  json["count"] = result.count;
  json["classes"] = result.labels.size();
  json["failed"] = result.errors.size();
  return json;
}

void print(const PromptResult& result, const PromptOptions& options) {
  hide_progress_bar();
  for (const Row& row : rows_of(result, options)) {
    fmt::print("{:<32}{:6.2f}", row.name, 100 * row.top1.mean);
    if (options.episodes > 1) fmt::print(" +- {:.2f}", 100 * row.top1.interval);
    fmt::print(" %\n");
  }
  fmt::print("top-1 of {} images of {} classes, from {} labelled, episodes: {}\n", result.count,
             result.labels.size(), result.train, options.episodes);
}

void run(Prompts prompts, Common& common) {
  const auto [train_path, test_path] = train_and_test(prompts.train, prompts.test);
  PromptOptions& options = prompts.options;
  check_new_folder(prompts.output);
  options.templates = read_templates(prompts.templates);
  options.train = common.run_options("embedding the training images");
  options.test = common.run_options("embedding the test images");
  options.progress = common.progress("learning");
  const ClassImages train = read_classes(train_path);
  std::optional<ClassImages> test;
  if (!test_path.empty()) test = read_classes(test_path);
  const auto opened = common.open();
  const PromptResult result = learn_prompts(*opened, train, test, options);
  if (ranks().rank() > 0) return;
  const nlohmann::ordered_json json = to_json(result, prompts);
  if (!prompts.output.empty())
    write_prompts(*opened, result, common.size, json.dump(1) + "\n", prompts.output);
  if (common.json)
    print_json(json);
  else
    print(result, options);
  common.report(result.errors);
}

}  // namespace

void add_train_prompts(CLI::App& train, Common& common) {
  auto* command =
      train.add_subcommand("prompts", "Learn a CLIP's prompts and a cache from a few images");
  auto prompts = std::make_shared<Prompts>();
  common.add_labelled(*command, prompts->train, prompts->test);
  PromptOptions& options = prompts->options;
  add_positive(*command, "--shots", options.shots,
               "Learn from N images a class, drawn anew for every episode (default: 16)");
  add_positive(*command, "--episodes", options.episodes, "Draws (default: 3)");
  command->add_option("--seed", options.seed, "Of the draws and of the context (default: 0)")
      ->type_name(kNumber);
  add_positive(*command, "--context", options.context, "Vectors that CoOp learns (default: 16)");
  add_positive(*command, "--epochs", options.epochs,
               "Of CoOp (default: 50 with one shot, 100 with up to 4, else 200)");
  command
      ->add_option("--templates", prompts->templates,
                   "The ensemble: openai80 (default), none, or a file with {} for the label")
      ->type_name(kFile);
  command
      ->add_option("-o,--output", prompts->output,
                   "Write context, cache and report to a new folder, for --prompts of classify, "
                   "eval and explain")
      ->type_name(kFolder);
  command->footer(
      "CoOp, Tip-Adapter and Tip-Adapter-F beside zero-shot. The model itself does not change.\n"
      "Example:\n"
      "  ocelli train prompts photos/ -m clip-folder --shots 16 -o prompts/\n"
      "  ocelli classify new.jpg --prompts prompts/");
  command->callback([prompts, &common] { common.run_ranks([&] { run(*prompts, common); }); });
}

}  // namespace ocelli::cli
