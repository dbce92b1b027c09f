#include "ocelli/engine/knn.h"

#include <fmt/format.h>

#include "cli/common.h"

namespace ocelli::cli {
namespace {

struct Knn {
  std::string train, test;
  KnnOptions options;
};

void run(const Knn& knn, Common& common) {
  const ClassImages train = read_classes(knn.train), test = read_classes(knn.test);
  const KnnResult result = knn_evaluate(*common.open(), train, test, knn.options,
                                        common.run_options("embedding the training images"),
                                        common.run_options("embedding the test images"));
  const double count = static_cast<double>(std::max<int64_t>(result.count, 1));
  if (common.json) {
    print_json({{"top1", result.top1 / count},
                {"top5", result.top5 / count},
                {"count", result.count},
                {"train", result.train},
                {"classes", result.classes},
                {"k", knn.options.k},
                {"temperature", knn.options.temperature},
                {"failed", result.errors.size()}});
  } else {
    hide_progress_bar();
    fmt::print("top-1 {:.2f} % ({} of {})\ntop-5 {:.2f} % ({} of {})\n", 100 * result.top1 / count,
               result.top1, result.count, 100 * result.top5 / count, result.top5, result.count);
  }
  common.report(result.errors);
}

}  // namespace

void add_knn(CLI::App& app, Common& common) {
  auto* command =
      app.add_subcommand("knn", "Measure features by classifying with the nearest images");
  auto knn = std::make_shared<Knn>();
  for (const auto& [name, value] :
       {std::pair("train", &knn->train), std::pair("test", &knn->test)}) {
    command->add_option(name, *value, "A folder with a sub-folder a class, or a table of labels")
        ->type_name(kFile)
        ->required();
  }
  common.add_batch(*command);
  common.add_model(*command);
  common.add_output(*command);
  command->add_option("-k", knn->options.k, "Neighbours that vote (default: 20)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command
      ->add_option("--temperature", knn->options.temperature,
                   "A vote is exp(cosine / temperature) (default: 0.07)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->footer(
      "DINOv2's protocol: nothing is trained, the model's features decide.\n"
      "Example:\n"
      "  ocelli knn train/ test/ -m dinov2-folder");
  command->callback([knn, &common] { run(*knn, common); });
}

}  // namespace ocelli::cli
