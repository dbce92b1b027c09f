#include <fmt/format.h>

#include <iostream>

#include "cli/common.h"
#include "ocelli/data/inputs.h"
#include "ocelli/engine/heat_map.h"

namespace ocelli::cli {
namespace {

struct MatchOptions {
  std::vector<std::string> images;
  std::string texts, csv, png;
  bool probabilities = false;
};

std::span<float> row(const Tensor& values, size_t i) {
  return values.select(0, static_cast<int64_t>(i)).values<float>();
}

void print_table(const Match& match, const Tensor& values) {
  for (size_t i = 0; i < match.images.size(); ++i) {
    fmt::print("{}\n", match.images[i]);
    for (size_t t = 0; t < match.texts.size(); ++t) {
      fmt::print("  {:7.4f}  {}\n", row(values, i)[t], match.texts[t]);
    }
  }
}

nlohmann::ordered_json rows(const Tensor& values) {
  auto array = nlohmann::ordered_json::array();
  for (int64_t i = 0; i < values.size(0); ++i) array.push_back(row(values, i));
  return array;
}

void run(const MatchOptions& options, Common& common) {
  const auto paths = list_images(options.images, std::cin);
  const auto texts = read_lines(options.texts, /*skip_blank=*/true);
  check(!texts.empty(), "--texts {}: the file holds no texts", options.texts);
  Common::check_output(options.csv);
  Common::check_output(options.png);
  const auto opened = common.open();
  const Match result = match(*opened, paths, texts, common.run_options("embedding images"),
                             common.progress("embedding texts"));
  const Similarity similarity = opened->model->similarity();
  const Tensor values =
      options.probabilities ? probabilities(result.similarity, similarity) : result.similarity;
  if (common.json) {
    nlohmann::ordered_json json = {{"images", result.images},
                                   {"texts", result.texts},
                                   {"similarity", rows(result.similarity)}};
    if (options.probabilities) json["probability"] = rows(values);
    print_json(json);
  } else {
    print_table(result, values);
  }
  if (!options.csv.empty()) write_match_csv(options.csv, result, values);
  if (!options.png.empty()) {
    const std::string quantity = options.probabilities ? "probability" : "cosine similarity";
    write_heat_map(options.png, {.match = result,
                                 .values = values,
                                 .quantity = fmt::format("{} by {}", quantity, opened->name),
                                 .from_zero_to_one = options.probabilities,
                                 .decode = {.max_pixels = common.max_pixels}});
  }
  common.report(result.errors);
}

}  // namespace

void add_match(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("match", "Compare images with texts");
  auto options = std::make_shared<MatchOptions>();
  common.add_images(*command, options->images);
  common.add_model(*command);
  common.add_output(*command);
  command->add_option("--texts", options->texts, "A file with one text a line")
      ->type_name(kFile)
      ->required();
  command->add_flag("--probabilities", options->probabilities,
                    "Not cosines, but what the model makes of them: a softmax over the texts "
                    "(CLIP) or a sigmoid of each pair (SigLIP)");
  command->add_option("--csv", options->csv, "Write the matrix to this table")
      ->type_name(kFile)
      ->group("Output");
  command->add_option("--png", options->png, "Draw the matrix as a heat map with thumbnails")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "Examples:\n"
      "  ocelli match photos/ --texts captions.txt -m clip-folder --png matrix.png\n"
      "  ocelli match photo.jpg --texts labels.txt -m clip-folder --probabilities --json");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
