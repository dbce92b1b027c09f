#include "ocelli/curate/dedup.h"

#include <fmt/format.h>

#include <iostream>

#include "cli/common.h"
#include "ocelli/curate/dedup_report.h"
#include "ocelli/data/inputs.h"

namespace ocelli::cli {
namespace {

struct DedupArguments {
  std::vector<std::string> images, against;
  float near = DedupOptions{}.near;
  bool exact = false;
  std::string report;
};

nlohmann::ordered_json to_json(const Duplicates& found) {
  auto groups = nlohmann::ordered_json::array(), pairs = groups;
  for (const auto& group : found.groups) {
    auto duplicates = nlohmann::ordered_json::array();
    for (const auto& d : group.duplicates) {
      duplicates.push_back({{"path", found.paths[d.image]}, {"score", d.score}, {"why", d.why}});
    }
    groups.push_back({{"keep", found.paths[group.keep]},
                      {"why", group.why_kept},
                      {"duplicates", std::move(duplicates)}});
  }
  for (const LookedAt& looked : found.pairs) {
    pairs.push_back({{"a", found.paths[looked.pair.a]},
                     {"b", found.paths[looked.pair.b]},
                     {"score", looked.pair.score},
                     {"why", looked.why}});
  }
  return {
      {"images", found.paths.size()}, {"groups", std::move(groups)}, {"pairs", std::move(pairs)}};
}

void print_groups(const Duplicates& found) {
  int64_t copies = 0;
  for (const auto& group : found.groups) {
    fmt::print("{}  ({})\n", found.paths[group.keep], group.why_kept);
    for (const auto& d : group.duplicates) {
      fmt::print("  {:.3f}  {}  ({})\n", d.score, found.paths[d.image], d.why);
    }
    copies += static_cast<int64_t>(group.duplicates.size());
  }
  fmt::print("{} images, {} groups, {} duplicates\n", found.paths.size(), found.groups.size(),
             copies);
}

void run(const DedupArguments& arguments, Common& common) {
  const auto paths = list_images(arguments.images, std::cin);
  Common::check_output(arguments.report);
  DedupOptions options{.near = arguments.near, .run = common.run_options("hashing")};
  if (!arguments.against.empty()) options.against = list_images(arguments.against, std::cin);
  options.embedding = common.progress("embedding");
  options.comparing = common.progress("comparing pairs");
  const auto opened = arguments.exact ? nullptr : common.open();
  const Duplicates found = find_duplicates(opened.get(), paths, options);
  if (common.json)
    print_json(to_json(found));
  else
    print_groups(found);
  if (!arguments.report.empty()) write_dedup_report(arguments.report, found, options.run.decode);
  common.report(found.errors);
}

}  // namespace

void add_dedup(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("dedup", "Find copies of the same photograph");
  auto arguments = std::make_shared<DedupArguments>();
  common.add_images(*command, arguments->images);
  common.add_model(*command);
  common.add_output(*command);
  auto* near = command
                   ->add_option("--near", arguments->near,
                                "Score from which a pair counts as copies, 0 to 1 (default: 0.9)")
                   ->check(CLI::Range(0.0, 1.0).description(""))
                   ->type_name(kNumber);
  command
      ->add_flag("--exact", arguments->exact, "Only files with the same bytes or pixels; no model")
      ->excludes(near);
  command
      ->add_option("--against", arguments->against,
                   "Only copies of the images in this folder (file, glob), which are all kept")
      ->type_name(kFile)
      ->expected(1);
  command->add_option("--report", arguments->report, "Write a page that shows the groups")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "No file is changed. Copies may be compressed, resized, cropped, mirrored, turned,\n"
      "recoloured, blurred, bordered or written on. Kept is the one with most pixels\n"
      "without borders, then the least compressed, then the oldest.\n"
      "Examples:\n"
      "  ocelli dedup photos/ --report copies.html\n"
      "  ocelli dedup train/ --against test/ -m vit-folder --json");
  command->callback([arguments, &common] { run(*arguments, common); });
}

}  // namespace ocelli::cli
