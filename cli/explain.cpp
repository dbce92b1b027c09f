#include "ocelli/engine/explain.h"

#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/engine/inputs.h"
#include "ocelli/formats/npy.h"
#include "ocelli/image/encode.h"

namespace ocelli::cli {
namespace {

struct Explain {
  std::string image, output, npy, point;
  std::vector<std::string> more;
  bool attention = false, rollout = false, pca = false, occlusion = false;
  int64_t head = -1;
  ExplainOptions options;
};

std::array<int64_t, 2> parse_point(const std::string& text) {
  std::array<int64_t, 2> point{};
  int read = 0;
  const bool whole = std::sscanf(text.c_str(), "%ld,%ld%n", &point[0], &point[1], &read) == 2 &&
                     static_cast<size_t>(read) == text.size();
  check(whole, "--similarity-point {}: X,Y in pixels of the image is needed", text);
  return point;
}

ExplainOptions::Kind kind_of(const Explain& e) {
  using Kind = ExplainOptions::Kind;
  if (e.rollout) return Kind::rollout;
  if (e.pca) return Kind::pca;
  if (e.occlusion) return Kind::occlusion;
  if (!e.options.text.empty()) return Kind::similarity;
  if (!e.point.empty()) return Kind::similarity_point;
  return Kind::attention;
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
  }
  return {{"model", model}, {"explanation", explanation.title}, {"images", std::move(images)}};
}

void run(Explain& e, Common& common) {
  check(!e.output.empty() || !e.npy.empty() || common.json,
        "explain: give -o FILE.png, --npy FILE or --json");
  e.options.kind = kind_of(e);
  if (e.head >= 0) e.options.head = e.head;
  if (!e.point.empty()) e.options.point = parse_point(e.point);
  Common::check_output(e.output);
  Common::check_output(e.npy);
  std::vector<std::string> paths = {e.image};
  if (!e.more.empty()) {
    const auto more = list_images(e.more, std::cin);
    paths.insert(paths.end(), more.begin(), more.end());
  }
  const auto opened = common.open();
  e.options.decode.max_pixels = common.max_pixels;
  e.options.progress = common.progress("explaining");
  const Explanation explanation = explain(*opened, paths, e.options);
  if (!e.output.empty()) write_png(e.output, picture_of(explanation));
  if (!e.npy.empty()) write_npy(e.npy, maps_of(explanation));
  if (common.json) return print_json(json_of(opened->name, explanation));
  fmt::print("{}: {}\n", e.output.empty() ? e.npy : e.output, explanation.title);
}

}  // namespace

void add_explain(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("explain", "Show what in an image a model looks at");
  auto e = std::make_shared<Explain>();
  command->add_option("image", e->image, "The image")->type_name(kFile)->required();
  common.add_model(*command);
  common.add_output(*command);
  auto* kinds = command->add_option_group("What to show (one)");
  kinds->add_flag("--attention", e->attention,
                  "Attention from the class token to the patches, in one block (the default)");
  kinds->add_flag("--rollout", e->rollout, "Attention through all blocks");
  kinds->add_flag(
      "--pca", e->pca,
      "Patches in three colours by their principal components, the background left out");
  kinds->add_option("--similarity", e->options.text, "How much each patch is like this text")
      ->type_name(kText);
  kinds
      ->add_option("--similarity-point", e->point,
                   "How much each patch is like the one at X,Y of the image")
      ->type_name("X,Y");
  kinds->add_flag("--occlusion", e->occlusion, "What covering each part takes from the answer");
  kinds->require_option(0, 1);
  command
      ->add_option("--layer", e->options.layer,
                   "The block of --attention, from 0; negative from the end (default: -1)")
      ->type_name(kNumber);
  command->add_option("--head", e->head, "The head of --attention (default: the mean)")
      ->check(CLI::NonNegativeNumber.description(""))
      ->type_name(kNumber);
  command->add_flag("--whole", e->options.whole, "The background of --pca, too");
  command
      ->add_option("--images", e->more,
                   "Images to explain together with the first: shared colours, the same point")
      ->type_name(kFile);
  command
      ->add_option("-o,--output", e->output, "The image with the map over it, or all side by side")
      ->type_name(kFile)
      ->group("Output");
  command->add_option("--npy", e->npy, "Write the map: [rows, columns]; of several images, stacked")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "Bright is much, dark is little. What the model does not see of the image is darkened.\n"
      "Examples:\n"
      "  ocelli explain photo.jpg -m dinov2-folder --attention --head 3 -o overlay.png\n"
      "  ocelli explain photo.jpg -m dinov2-folder --pca --images more/ --size 448 -o pca.png\n"
      "  ocelli explain photo.jpg -m clip-folder --similarity \"a dog\" -o dog.png");
  command->callback([e, &common] { run(*e, common); });
}

}  // namespace ocelli::cli
