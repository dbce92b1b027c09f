#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/engine/evaluate.h"
#include "ocelli/engine/prompts.h"

namespace ocelli::cli {
namespace {

struct Eval {
  std::string folder, labels, templates = "none", confusion;
};

void run(const Eval& options, Common& common) {
  const auto opened = common.open();
  const bool zero_shot = !options.labels.empty() || !opened->model->has_classifier();
  const Classifier classifier =
      zero_shot ? Classifier(opened,
                             options.labels.empty() ? class_folder_labels(options.folder)
                                                    : read_label_list(options.labels),
                             read_templates(options.templates), common.progress("embedding labels"))
                : Classifier(opened);
  const Evaluation result =
      evaluate(classifier, read_class_folders(options.folder, classifier.labels()),
               common.run_options("evaluating"));
  if (!options.confusion.empty())
    write_confusion_csv(options.confusion, result, classifier.labels());
  const double count = static_cast<double>(std::max<int64_t>(result.count, 1));
  if (common.json) {
    print_json({{"top1", result.top1 / count},
                {"top5", result.top5 / count},
                {"count", result.count},
                {"correct1", result.top1},
                {"correct5", result.top5},
                {"failed", result.errors.size()}});
  } else {
    fmt::print("top-1 {:.2f} % ({} of {})\ntop-5 {:.2f} % ({} of {})\n", 100 * result.top1 / count,
               result.top1, result.count, 100 * result.top5 / count, result.top5, result.count);
  }
  common.report(result.errors);
}

}  // namespace

void add_eval(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("eval", "Measure accuracy on folders of images, one a class");
  auto options = std::make_shared<Eval>();
  command
      ->add_option("folder", options->folder, "A folder with a sub-folder a class (name or index)")
      ->required();
  command->add_option("-b,--batch", common.batch, "Images in one forward")
      ->check(CLI::PositiveNumber);
  common.add_model(*command);
  common.add_output(*command);
  command->add_option("--labels", options->labels,
                      "Zero-shot: a file or a list; default: the names of the folders");
  command->add_option("--templates", options->templates, "Prompts: openai80, none, or a file");
  command->add_option("--confusion", options->confusion, "Write the confusion counts to this CSV");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
