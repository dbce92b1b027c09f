#include "ocelli/engine/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/index_model.h"
#include "cli/page.h"
#include "ocelli/engine/gallery.h"

namespace ocelli::cli {
namespace {

struct Search {
  std::string index, vector;
  Page page;
  Query query;
  SearchOptions options;
  float fold = 0;
};

nlohmann::ordered_json to_json(const FoundImage& found) {
  const ImageRecord& image = found.image;
  nlohmann::ordered_json json = {
      {"id", image.id},         {"path", image.path},   {"score", found.score},
      {"folder", image.folder}, {"width", image.width}, {"height", image.height},
      {"size", image.size},     {"mtime", image.mtime}, {"sha256", image.sha256}};
  if (!image.taken.empty()) json["taken"] = image.taken;
  if (image.latitude) json["latitude"] = *image.latitude;
  if (image.longitude) json["longitude"] = *image.longitude;
  if (image.caption) json["caption"] = *image.caption;
  if (!found.folded.empty()) json["folded"] = found.folded;
  return json;
}

void print(const std::vector<FoundImage>& images, const Common& common) {
  if (common.json) {
    auto array = nlohmann::ordered_json::array();
    for (const FoundImage& found : images) array.push_back(to_json(found));
    return print_json(array);
  }
  for (const FoundImage& found : images) {
    fmt::print("{:7.4f}  {}\n", found.score, found.image.path);
    for (const std::string& path : found.folded) fmt::print("       =  {}\n", path);
  }
}

std::string title_of(const Search& search) {
  if (!search.vector.empty()) return search.vector;
  std::string title = fmt::format("{}", fmt::join(search.query.like, " + "));
  for (const std::string& unlike : search.query.unlike) title += " \u2212 " + unlike;
  return title;
}

void run(const Search& search, const CLI::App& command, Common& common) {
  const bool queries = !search.query.like.empty() || !search.query.unlike.empty();
  check(queries != !search.vector.empty(),
        "search: give texts or images to look for, or --vector FILE");
  Common::check_output(search.page.path);
  const ImageIndex index(search.index);
  const DecodeOptions decode{.max_pixels = common.max_pixels};
  const Tensor query =
      queries ? embed_query(*open_model_of(index.state(), command, common), search.query, decode)
              : read_query(search.vector, index.state().width);
  SearchOptions options = search.options;
  if (command.count("--fold") > 0) options.fold = search.fold;
  const std::vector<FoundImage> found = search_index(index, query, options);
  print(found, common);
  if (search.page.path.empty()) return;
  write_gallery(search.page.path, title_of(search), found, decode);
  show(search.page, common.quiet);
}

void add_options(CLI::App& command, Search& search) {
  command.add_option("-k", search.options.search.k, "Images to find (default: 20)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command.add_option("--more-like", search.query.like, "Further texts or images wanted")
      ->type_name(kText);
  command.add_option("--less-like", search.query.unlike, "Texts or images to keep away from")
      ->type_name(kText);
  command.add_option("--vector", search.vector, "A .npy file with the vector to look for")
      ->type_name(kFile);
  command
      .add_option("--where", search.options.search.where,
                  "Only images that an SQL expression holds for, as in \"width > 800 and folder = "
                  "'trip'\"")
      ->type_name("SQL");
  command
      .add_option("--fold", search.fold,
                  "Join images at least so alike (cosine), as copies are: 0.95")
      ->check(CLI::Range(-1.0, 1.0).description(""))
      ->type_name(kNumber);
  command.add_flag("--exact", search.options.search.exact, "Look at every vector of a large index");
  add_page(command, search.page, "Also write a page with thumbnails");
}

}  // namespace

void add_search(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("search", "Find images in an index by texts and images");
  auto search = std::make_shared<Search>();
  command->add_option("index", search->index, "An index ('ocelli index')")
      ->type_name(kFolder)
      ->required();
  command->add_option("query", search->query.like, "Texts, or files of images")->type_name(kText);
  common.add_model(*command);
  common.add_output(*command);
  add_options(*command, *search);
  command->footer(
      "Several queries are added up; texts need a model with a text tower (CLIP, SigLIP).\n"
      "Examples:\n"
      "  ocelli search photos.oci \"a red car at night\" --open gallery.html\n"
      "  ocelli search photos.oci photo.jpg --less-like \"people\" -k 50\n"
      "  ocelli search photos.oci \"a beach\" --where \"taken >= '2024-06' and width > height\"");
  command->callback([search, command, &common] { run(*search, *command, common); });
}

}  // namespace ocelli::cli
