#include <fmt/format.h>

#include <iostream>

#include "cli/common.h"
#include "ocelli/base/file.h"
#include "ocelli/engine/embed.h"
#include "ocelli/engine/inputs.h"
#include "ocelli/ops/linear.h"

namespace ocelli::cli {
namespace {

struct Match {
  std::vector<std::string> images;
  std::string texts, csv;
};

std::string csv_field(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

void run(const Match& options, Common& common) {
  const auto paths = list_images(options.images, std::cin);
  const auto texts = read_lines(options.texts, /*skip_blank=*/true);
  check(!texts.empty(), "--texts {}: the file holds no texts", options.texts);
  const auto opened = common.open();
  const Tensor text_rows = embed_texts(*opened, texts, common.progress("embedding texts"));
  const ImageEmbeddings images =
      embed_images(*opened, paths, common.run_options("embedding images"));
  const Tensor cosine = matmul(images.rows, text_rows.transpose(0, 1));  // [images, texts]
  const auto row = [&](size_t i) {
    return cosine.values<float>().subspan(i * texts.size(), texts.size());
  };
  std::string csv = "path";
  for (const auto& text : texts) csv += "," + csv_field(text);
  nlohmann::ordered_json json = {{"images", nlohmann::ordered_json::array()},
                                 {"texts", texts},
                                 {"similarity", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < images.images.size(); ++i) {
    const std::string& path = paths[images.images[i]];
    csv += "\n" + csv_field(path);
    for (const float value : row(i)) csv += fmt::format(",{:.6f}", value);
    json["images"].push_back(path);
    json["similarity"].push_back(std::vector<float>(row(i).begin(), row(i).end()));
    if (common.json) continue;
    fmt::print("{}\n", path);
    for (size_t t = 0; t < texts.size(); ++t) fmt::print("  {:7.4f}  {}\n", row(i)[t], texts[t]);
  }
  if (!options.csv.empty()) write_file(options.csv, csv + "\n");
  if (common.json) print_json(json);
  common.report(images.errors);
}

}  // namespace

void add_match(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("match", "Compare images with texts");
  auto options = std::make_shared<Match>();
  common.add_images(*command, options->images);
  common.add_model(*command);
  common.add_output(*command);
  command->add_option("--texts", options->texts, "A file with one text a line")->required();
  command->add_option("--csv", options->csv, "Write the cosines to this CSV");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
