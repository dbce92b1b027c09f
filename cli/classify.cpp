#include "ocelli/engine/classify.h"

#include <fmt/format.h>

#include <iostream>

#include "cli/classes.h"
#include "ocelli/data/inputs.h"
#include "ocelli/engine/report.h"

namespace ocelli::cli {
namespace {

struct Classify {
  std::vector<std::string> images;
  std::string html;
  Classes classes;
  int64_t top = 5;
};

void print_item(const ReportItem& item) {
  hide_progress_bar();
  fmt::print("{}\n", item.path);
  for (const Prediction& p : item.predictions) {
    fmt::print("  {:6.2f} %  {}\n", 100 * p.probability, p.label);
  }
}

nlohmann::ordered_json to_json(const std::vector<ReportItem>& items) {
  auto array = nlohmann::ordered_json::array();
  for (const ReportItem& item : items) {
    nlohmann::ordered_json entry = {{"path", item.path}};
    if (!item.error.empty()) {
      entry["error"] = item.error;
    } else {
      entry["predictions"] = nlohmann::ordered_json::array();
      for (const Prediction& p : item.predictions) {
        entry["predictions"].push_back(
            {{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
      }
    }
    array.push_back(std::move(entry));
  }
  return array;
}

void run(const Classify& options, const CLI::App& command, Common& common) {
  const std::vector<std::string> paths = list_images(options.images, std::cin);
  Common::check_output(options.html);
  const Classifier classifier = options.classes.open(command, common);
  const OpenModel& opened = classifier.model();
  std::vector<ReportItem> items(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) items[i].path = paths[i];
  const auto deliver = [&](int64_t i, const Tensor& row) {
    items[i].predictions = top_k(row, classifier.labels(), options.top);
    if (!common.json) print_item(items[i]);
  };
  const auto errors =
      run_images(opened.processor, paths, classifier, deliver, common.run_options("classifying"));
  for (const ItemError& error : errors) items[error.index].error = error.error.what();
  if (common.json) print_json(to_json(items));
  if (!options.html.empty()) {
    const std::string type = opened.folder.type();
    write_html_report(options.html, opened.name + (type.empty() ? "" : " (" + type + ")"), items,
                      {.max_pixels = common.max_pixels});
  }
  common.report(errors);
}

}  // namespace

void add_classify(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("classify", "Name what is in images");
  auto options = std::make_shared<Classify>();
  common.add_images(*command, options->images);
  common.add_model(*command);
  options->classes.add(*command);
  command->get_option("--templates")->needs("--labels");
  common.add_output(*command);
  command->add_option("-k,--top", options->top, "Classes an image (default: 5)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->add_option("--html", options->html, "Also write a page with thumbnails")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "Examples:\n"
      "  ocelli classify photo.jpg\n"
      "  ocelli classify photos/ -m google/vit-base-patch16-224 --json\n"
      "  ocelli classify photos/ -m clip-folder --labels \"a dog,a cat\" --templates openai80\n"
      "  ocelli classify photos/ --prompts prompts/          # of ocelli train prompts -o\n"
      "  find . -name '*.jpg' | ocelli classify - --html report.html");
  command->callback([options, command, &common] { run(*options, *command, common); });
}

}  // namespace ocelli::cli
