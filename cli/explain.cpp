#include "ocelli/engine/explain.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <optional>

#include "cli/classes.h"
#include "cli/page.h"
#include "ocelli/data/inputs.h"
#include "ocelli/formats/npy.h"
#include "ocelli/image/encode.h"

namespace ocelli::cli {
namespace {

struct Explain {
  std::string image, output, npy, class_name;
  Classes classes;
  Page page;
  std::optional<std::string> similarity, point;
  std::vector<std::string> more;
  bool attention = false, rollout = false, pca = false, occlusion = false, whole = false;
  std::optional<int64_t> layer, head;
};

std::array<int64_t, 2> parse_point(const std::string& text) {
  std::array<int64_t, 2> point{};
  int read = 0;
  const bool whole = std::sscanf(text.c_str(), "%ld,%ld%n", &point[0], &point[1], &read) == 2 &&
                     static_cast<size_t>(read) == text.size();
  check(whole, "--similarity-point '{}': X,Y in pixels of the image is needed", text);
  return point;
}

ExplainOptions options_of(const Explain& e) {
  using Kind = ExplainOptions::Kind;
  ExplainOptions options;
  const std::pair<bool, Kind> kinds[] = {{e.attention, Kind::attention},
                                         {e.rollout, Kind::rollout},
                                         {e.pca, Kind::pca},
                                         {e.similarity.has_value(), Kind::similarity},
                                         {e.point.has_value(), Kind::similarity_point},
                                         {e.occlusion, Kind::occlusion}};
  int given = 0;
  for (const auto& [chosen, kind] : kinds) {
    if (!chosen) continue;
    ++given;
    options.kind = kind;
  }
  check(given <= 1,
        "explain: choose one of --attention, --rollout, --pca, --similarity, "
        "--similarity-point and --occlusion");
  check(options.kind == Kind::attention || (!e.layer && !e.head),
        "explain: --layer and --head go with --attention");
  check(options.kind == Kind::pca || !e.whole, "explain: --whole goes with --pca");
  options.layer = e.layer.value_or(-1);
  options.head = e.head;
  options.whole = e.whole;
  options.text = e.similarity.value_or("");
  check(options.kind != Kind::similarity || !options.text.empty(),
        "--similarity: the text is empty");
  if (e.point) options.point = parse_point(*e.point);
  const bool classes = !e.classes.labels.empty() || !e.classes.prompts.empty();
  check(options.kind == Kind::occlusion || (!classes && e.class_name.empty()),
        "explain: --labels, --prompts and --class go with --occlusion");
  options.class_name = e.class_name;
  return options;
}

nlohmann::ordered_json json_of(const std::string& model, const Explanation& explanation) {
  auto images = nlohmann::ordered_json::array();
  for (const Explained& image : explanation.images) {
    images.push_back({{"path", image.path},
                      {"shape", image.map.shape()},
                      {"seen",
                       {{"top", image.seen.top},
                        {"left", image.seen.left},
                        {"height", image.seen.height},
                        {"width", image.seen.width}}},
                      {"map", image.map.values<float>()}});
    if (image.point) images.back()["point"] = *image.point;
  }
  return {{"model", model}, {"explanation", explanation.title}, {"images", std::move(images)}};
}

void run(const Explain& e, const CLI::App& command, Common& common) {
  check(!e.output.empty() || !e.page.path.empty() || !e.npy.empty() || common.json,
        "explain: give -o FILE.png, --html FILE, --npy FILE or --json");
  check(e.output.empty() || std::filesystem::path(e.output).extension() == ".png",
        "-o {}: the picture is a PNG; give it a name in .png", e.output);
  ExplainOptions options = options_of(e);
  Common::check_output(e.output);
  Common::check_output(e.npy);
  Common::check_output(e.page.path);
  std::vector<std::string> paths = {e.image};
  if (!e.more.empty()) {
    const auto more = list_images(e.more, std::cin);
    paths.insert(paths.end(), more.begin(), more.end());
  }
  const auto opened = e.classes.open_model(command, common);
  options.classifier = e.classes.given(opened, common);
  options.decode.max_pixels = common.max_pixels;
  options.progress = common.progress("explaining");
  const Explanation explanation = explain(opened, paths, options);
  if (!e.npy.empty()) write_npy(e.npy, maps_of(explanation));
  if (!e.output.empty()) write_png(e.output, picture_of(explanation));
  if (!e.page.path.empty()) write_explanation_page(e.page.path, opened->name, explanation);
  if (common.json) {
    print_json(json_of(opened->name, explanation));
  } else if (!common.quiet) {
    fmt::print("{}\n", explanation.title);
  }
  show(e.page, common.quiet);
}

void add_kinds(CLI::App& command, Explain& e) {
  constexpr const char* kKinds = "What to show";
  command
      .add_flag("--attention", e.attention,
                "Attention from the class token to the patches, in one block (the default)")
      ->group(kKinds);
  command.add_option("--layer", e.layer, "The block, from 0; negative from the end (default: -1)")
      ->type_name(kNumber)
      ->group(kKinds);
  command.add_option("--head", e.head, "The head (default: the mean of all)")
      ->check(CLI::NonNegativeNumber.description(""))
      ->type_name(kNumber)
      ->group(kKinds);
  command.add_flag("--rollout", e.rollout, "Attention through all blocks")->group(kKinds);
  command
      .add_flag("--pca", e.pca,
                "Patches in three colours by their principal components, without the background")
      ->group(kKinds);
  command.add_flag("--whole", e.whole, "The background of --pca, too")->group(kKinds);
  command.add_option("--similarity", e.similarity, "How much each patch is like this text")
      ->type_name(kText)
      ->group(kKinds);
  command
      .add_option("--similarity-point", e.point,
                  "How much each patch is like the one at X,Y of the image")
      ->type_name("X,Y")
      ->group(kKinds);
  command
      .add_flag("--occlusion", e.occlusion,
                "What covering each part takes from the probability of a class")
      ->group(kKinds);
  command
      .add_option("--class", e.class_name, "The class of --occlusion (default: the most probable)")
      ->type_name(kText)
      ->group(kKinds);
}

}  // namespace

void add_explain(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("explain", "Show what in an image a model looks at");
  auto e = std::make_shared<Explain>();
  command->add_option("image", e->image, "The image")->type_name(kFile)->required();
  common.add_model(*command);
  e->classes.add(*command);
  command->get_option("--templates")->needs("--labels");
  common.add_output(*command);
  add_kinds(*command, *e);
  command
      ->add_option("--images", e->more,
                   "Images to explain together with the first: shared colours, the same point")
      ->type_name(kFile);
  command
      ->add_option("-o,--output", e->output, "The image with the map over it, or all side by side")
      ->type_name(kFile)
      ->group("Output");
  add_page(*command, e->page, "Write a page with each photograph beside its map");
  command->add_option("--npy", e->npy, "Write the map: [rows, columns]; of several images, stacked")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "Bright is much, dark is little. What the model does not see of the image is darkened.\n"
      "Examples:\n"
      "  ocelli explain photo.jpg -m dinov2-folder --attention --head 3 -o overlay.png\n"
      "  ocelli explain photo.jpg -m dinov2-folder --pca --images more/ --size 448 -o pca.png\n"
      "  ocelli explain photo.jpg -m clip-folder --similarity \"a dog\" -o dog.png\n"
      "  ocelli explain photo.jpg -m clip-folder --occlusion --labels \"a dog,a cat\" --open "
      "dog.html");
  command->callback([e, command, &common] { run(*e, *command, common); });
}

}  // namespace ocelli::cli
