#include "ocelli/curate/curate.h"

#include <fmt/format.h>

#include <iostream>
#include <map>

#include "cli/common.h"

namespace ocelli::cli {
namespace {

struct CurateArguments {
  std::vector<std::string> images;
  std::string output, recipe;
  bool resume = false, dry_run = false;
};

void run(const CurateArguments& arguments, Common& common) {
  CurateOptions options{.output = arguments.output,
                        .resume = arguments.resume,
                        .dry_run = arguments.dry_run,
                        .run = common.run_options("embed")};
  if (!arguments.recipe.empty()) options.recipe = read_recipe(arguments.recipe);
  options.progress = [&](const std::string& stage) { return common.progress(stage); };
  const auto sources = list_sources(arguments.images, std::cin);
  const auto opened = common.open();
  const Curated curated = curate(*opened, sources, options);
  std::map<std::string, int64_t> left_out;
  for (const Fate& f : curated.fates) {
    if (!f.stage.empty()) ++left_out[f.stage];
  }
  if (common.json) {
    print_json({{"output", arguments.output},
                {"files", curated.fates.size()},
                {"kept", curated.kept},
                {"left_out", left_out}});
  } else if (!common.quiet) {
    for (const auto& [stage, count] : left_out) fmt::print("{:>8} left out by {}\n", count, stage);
    fmt::print("{:>8} of {} kept; see {}/report.html\n", curated.kept, curated.fates.size(),
               arguments.output);
  }
}

}  // namespace

void add_curate(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("curate", "Make a set to learn from out of a heap of images");
  auto arguments = std::make_shared<CurateArguments>();
  common.add_images(*command, arguments->images);
  common.add_model(*command);
  common.add_output(*command);
  command->add_option("-o,--output", arguments->output, "The folder for the curated set; a new one")
      ->type_name(kFolder)
      ->group("Output")
      ->required();
  command->add_option("--recipe", arguments->recipe, "What to do, as TOML (docs/curation.md)")
      ->type_name(kFile);
  command->add_flag("--resume", arguments->resume, "Go on with the run that is in the folder");
  command->add_flag("--dry-run", arguments->dry_run, "Decide and report, but export no image");
  command->footer(
      "Stages: collect, quality, embed, dedup, retrieve, export. Tables (.csv, .jsonl) with\n"
      "paths and captions may be given, too. The folder gets images/ (or shards/, images.txt),\n"
      "manifest.jsonl with the fate of every file, and report.html.\n"
      "Examples:\n"
      "  ocelli curate raw/ -o curated/ -m vit-folder --recipe recipe.toml\n"
      "  ocelli curate raw/ -o curated/ -m vit-folder --recipe recipe.toml --resume");
  command->callback([arguments, &common] { run(*arguments, common); });
}

}  // namespace ocelli::cli
