#include <fmt/format.h>

#include "cli/classes.h"
#include "ocelli/engine/evaluate.h"
#include "ocelli/engine/evaluate_features.h"
#include "ocelli/engine/prompts.h"
#include "ocelli/engine/retrieval.h"

namespace ocelli::cli {
namespace {

struct Eval {
  std::string data, train, confusion;
  Classes classes;
};

void classify(const Eval& options, const ClassImages& images, const CLI::App& command,
              Common& common) {
  Common::check_output(options.confusion);
  const Classifier classifier = options.classes.open(command, common, images.classes);
  const Evaluation result = evaluate(classifier, images, common.run_options("evaluating"));
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
  if (!options.confusion.empty()) {
    write_confusion_csv(options.confusion, result, classifier.labels());
  }
  common.report(result.errors);
}

void measure(const Eval& options, const ClassImages& images, Common& common) {
  check(options.classes.labels.empty() && options.classes.templates == "none" &&
            options.confusion.empty() && options.classes.prompts.empty(),
        "eval: --labels, --templates, --prompts and --confusion do not go with --train, which "
        "measures features");
  const FeatureEvaluation result = evaluate_features(
      *common.open(), read_classes(options.train, "--train "), images,
      common.run_options("embedding the training images"), common.run_options("embedding images"));
  const double count = static_cast<double>(std::max<int64_t>(result.count, 1));
  if (common.json) {
    print_json({{"knn_top1", result.knn_top1 / count},
                {"linear_top1", result.linear_top1 / count},
                {"map", result.mean_average_precision},
                {"count", result.count},
                {"train", result.train},
                {"classes", result.classes},
                {"failed", result.errors.size()}});
  } else {
    fmt::print("{} images, {} to learn from, {} classes\n", result.count, result.train,
               result.classes);
    fmt::print("k-NN top-1      {:6.2f} %\nlinear top-1    {:6.2f} %\nretrieval mAP   {:6.2f} %\n",
               100 * result.knn_top1 / count, 100 * result.linear_top1 / count,
               100 * result.mean_average_precision);
  }
  common.report(result.errors);
}

void retrieve(const Eval& options, const CaptionedImages& data, Common& common) {
  check(options.classes.labels.empty() && options.confusion.empty() && options.train.empty() &&
            options.classes.prompts.empty(),
        "{}: holds captions; --labels, --prompts, --confusion and --train are for classes",
        options.data);
  const auto templates = read_templates(options.classes.templates);
  const Retrieval result =
      evaluate_retrieval(*common.open(), data, templates, common.run_options("embedding images"),
                         common.progress("embedding captions"));
  const auto json = [](const Recall& r) {
    return nlohmann::ordered_json{{"r1", r.r1}, {"r5", r.r5}, {"r10", r.r10}};
  };
  if (common.json) {
    print_json({{"image_to_text", json(result.image_to_text)},
                {"text_to_image", json(result.text_to_image)},
                {"images", result.images},
                {"texts", result.texts},
                {"failed", result.errors.size()}});
  } else {
    fmt::print("{} images, {} captions\n{:<14}{:>8}{:>9}{:>9}\n", result.images, result.texts, "",
               "R@1", "R@5", "R@10");
    for (const auto& [name, r] : {std::pair("image to text", result.image_to_text),
                                  std::pair("text to image", result.text_to_image)}) {
      fmt::print("{:<14}{:>6.1f} %{:>7.1f} %{:>7.1f} %\n", name, 100 * r.r1, 100 * r.r5,
                 100 * r.r10);
    }
  }
  common.report(result.errors);
}

}  // namespace

void add_eval(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("eval", "Measure accuracy on labelled or captioned images");
  auto options = std::make_shared<Eval>();
  command
      ->add_option("data", options->data,
                   "A folder with a sub-folder a class, or a table (.csv, .tsv) of images and "
                   "their labels or captions")
      ->type_name(kFile)
      ->required();
  command
      ->add_option("--train", options->train,
                   "Measure features instead: how classes are told from these images, by the "
                   "nearest ones and by a linear probe, and how images find their class")
      ->type_name(kFile);
  common.add_batch(*command);
  common.add_model(*command);
  options->classes.add(*command);
  common.add_output(*command);
  command->add_option("--confusion", options->confusion, "Write the confusion matrix to this table")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "Examples:\n"
      "  ocelli eval photos-by-class/ -m google/vit-base-patch16-224\n"
      "  ocelli eval photos-by-class/ -m clip-folder --templates openai80 --confusion matrix.csv\n"
      "  ocelli eval photos-by-class/ --prompts prompts/          # of ocelli train prompts -o\n"
      "  ocelli eval test/ --train train/ -m dinov2-folder\n"
      "  ocelli eval flickr8k/captions.csv -m clip-folder --json");
  command->callback([options, command, &common] {
    const ImageList data = read_image_list(options->data);
    if (const auto* images = std::get_if<ClassImages>(&data)) {
      if (options->train.empty())
        classify(*options, *images, *command, common);
      else
        measure(*options, *images, common);
    } else {
      retrieve(*options, std::get<CaptionedImages>(data), common);
    }
  });
}

}  // namespace ocelli::cli
