#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/engine/clusters.h"

namespace ocelli::cli {
namespace {

struct Outliers {
  std::string index;
  int64_t count = 20, k = 10;
};

void run(const Outliers& options, Common& common) {
  const ImageIndex index(options.index);
  const auto outliers =
      find_outliers(index, options.count, options.k, common.progress("comparing"));
  auto json = nlohmann::ordered_json::array();
  hide_progress_bar();
  for (const Outlier& outlier : outliers) {
    json.push_back(
        {{"path", outlier.path}, {"score", outlier.score}, {"nearest", outlier.nearest}});
    if (!common.json) fmt::print("{:7.4f}  {}\n", outlier.score, outlier.path);
  }
  if (common.json) print_json(json);
}

}  // namespace

void add_outliers(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("outliers", "Find the images of an index unlike all others");
  auto options = std::make_shared<Outliers>();
  command->add_option("index", options->index, "An index ('ocelli index')")
      ->type_name(kFolder)
      ->required();
  common.add_output(*command);
  command->add_option("-n,--count", options->count, "Images to show (default: 20)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->add_option("-k", options->k, "Neighbours to compare with (default: 10)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->footer(
      "The score of an image is its mean cosine with its nearest neighbours; the lowest come\n"
      "first.\n"
      "Example:\n"
      "  ocelli outliers photos.oci -n 50");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
