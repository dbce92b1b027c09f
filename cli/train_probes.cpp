#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/base/ranks.h"
#include "ocelli/engine/probes.h"

namespace ocelli::cli {
namespace {

struct Probes {
  std::string train, test, output, features;
  ProbeOptions options;
};

void run(Probes probes, Common& common) {
  const auto [train_path, test_path] = train_and_test(probes.train, probes.test);
  ProbeOptions options = probes.options;
  check(probes.output.empty() || probes.features.empty(),
        "train: --output writes a classifier of the model's own embedding; leave out --features");
  check_new_folder(probes.output);
  if (!probes.features.empty()) options.features = parse_features(probes.features);
  options.train = common.run_options("embedding the training images");
  options.test = common.run_options("embedding the test images");
  const ClassImages train = read_classes(train_path);
  std::optional<ClassImages> test;
  if (!test_path.empty()) test = read_classes(test_path);
  const auto opened = common.open();
  const ProbeResult result = run_probe(*opened, train, test, options);
  if (ranks().rank() > 0) return;
  if (!probes.output.empty())
    write_classifier(*opened, *result.planes, result.labels, probes.output);
  if (common.json) {
    nlohmann::ordered_json json = {{"top1", result.top1},         {"interval", result.interval},
                                   {"episodes", result.episodes}, {"shots", options.shots},
                                   {"train", result.train},       {"count", result.count},
                                   {"classes", result.classes}};
    if (options.probe == Probe::linear) json["c"] = result.planes->c;
    json["failed"] = result.errors.size();
    print_json(json);
  } else {
    hide_progress_bar();
    fmt::print("top-1 {:.2f}", 100 * result.top1);
    if (result.episodes > 1) fmt::print(" +- {:.2f}", 100 * result.interval);
    fmt::print(" % of {} images of {} classes, from {} labelled", result.count, result.classes,
               result.train);
    if (result.episodes > 1) fmt::print(", {} times", result.episodes);
    fmt::print("\n");
  }
  common.report(result.errors);
}

void add_probe(CLI::App& train, const std::string& name, const std::string& summary,
               const std::string& example, Common& common) {
  auto* command = train.add_subcommand(name, summary);
  auto probes = std::make_shared<Probes>();
  probes->options.probe = parse_probe(name);
  common.add_labelled(*command, probes->train, probes->test);
  add_positive(*command, "--shots", probes->options.shots,
               "Learn from N images a class, drawn anew for every episode (default: from all)");
  add_positive(*command, "--episodes", probes->options.episodes,
               "Draws, with --shots (default: 100)");
  command->add_option("--seed", probes->options.seed, "Of the draws (default: 0)")
      ->type_name(kNumber);
  add_choice(*command, "--features", probes->features, {"cls", "patch-mean", "cls+mean"},
             "Tokens of a transformer instead of its embedding");
  if (name == "linear") {
    add_positive(
        *command, "--c", probes->options.c,
        "Weight of the errors against the penalty (default: what learns a fifth best from the "
        "others; 1 with --shots)");
  }
  if (name == "knn")
    add_positive(*command, "-k", probes->options.k, "Neighbours that vote (default: 20)");
  if (name != "knn") {
    command
        ->add_option("-o,--output", probes->output,
                     "Write the model with this classifier to a new folder")
        ->type_name(kFolder);
  }
  command->footer("The model itself does not change.\nExample:\n" + example);
  command->callback([probes, &common] { common.run_ranks([&] { run(*probes, common); }); });
}

}  // namespace

void add_train_probes(CLI::App& train, Common& common) {
  add_probe(train, "linear", "Learn a linear classifier on a model's features",
            "  ocelli train linear photos/ -m vit-folder -o classifier/", common);
  add_probe(train, "knn", "Classify by the nearest labelled images",
            "  ocelli train knn photos/ -m dinov2-folder --shots 10", common);
  add_probe(train, "prototype", "Classify by the nearest class mean",
            "  ocelli train prototype photos/ -m dinov2-folder --shots 5 --features patch-mean",
            common);
}

}  // namespace ocelli::cli
