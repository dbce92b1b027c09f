#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/engine/clusters.h"

namespace ocelli::cli {
namespace {

struct ClusterCommand {
  std::string index, csv;
  ClusterOptions options;
};

nlohmann::ordered_json to_json(const std::vector<std::vector<Cluster>>& levels) {
  auto json = nlohmann::ordered_json::array();
  for (const std::vector<Cluster>& level : levels) {
    auto clusters = nlohmann::ordered_json::array();
    for (size_t i = 0; i < level.size(); ++i) {
      nlohmann::ordered_json entry = {{"cluster", i}, {"size", level[i].size}};
      if (level[i].parent >= 0) entry["parent"] = level[i].parent;
      if (&level == &levels[0]) entry["images"] = nlohmann::ordered_json::array();
      for (const ClusterMember& member : level[i].members) {
        entry["images"].push_back({{"path", member.path}, {"score", member.score}});
      }
      clusters.push_back(std::move(entry));
    }
    json.push_back(std::move(clusters));
  }
  return {{"levels", std::move(json)}};
}

void run(const ClusterCommand& command, Common& common) {
  constexpr size_t kShown = 3;
  Common::check_output(command.csv);
  const ImageIndex index(command.index);
  ClusterOptions options = command.options;
  options.progress = common.progress("clustering");
  const auto levels = cluster_images(index, options);
  if (!command.csv.empty()) write_clusters_csv(command.csv, levels);
  if (common.json) return print_json(to_json(levels));
  hide_progress_bar();
  for (size_t i = 0; i < levels[0].size(); ++i) {
    const Cluster& cluster = levels[0][i];
    fmt::print("{:<6}{:>8} image{}\n", i, cluster.size, cluster.size == 1 ? "" : "s");
    for (size_t j = 0; j < std::min(kShown, cluster.members.size()); ++j) {
      fmt::print("  {:7.4f}  {}\n", cluster.members[j].score, cluster.members[j].path);
    }
  }
}

}  // namespace

void add_cluster(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("cluster", "Find groups of like images in an index");
  auto cluster = std::make_shared<ClusterCommand>();
  command->add_option("index", cluster->index, "An index ('ocelli index')")
      ->type_name(kFolder)
      ->required();
  common.add_output(*command);
  command->add_option("-k", cluster->options.clusters, "Clusters")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber)
      ->required();
  command
      ->add_option("--hierarchical", cluster->options.levels,
                   "Levels of clusters of clusters, each with a root of -k fewer (default: 1)")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
  command->add_option("--seed", cluster->options.seed, "Another start (default: 0)")
      ->type_name(kNumber);
  command->add_option("--csv", cluster->csv, "Write a line with the cluster of each image")
      ->type_name(kFile)
      ->group("Output");
  command->footer(
      "Shown are the images nearest to each centre, with their cosine.\n"
      "Examples:\n"
      "  ocelli cluster photos.oci -k 20\n"
      "  ocelli cluster photos.oci -k 1000 --hierarchical 3 --csv clusters.csv");
  command->callback([cluster, &common] { run(*cluster, common); });
}

}  // namespace ocelli::cli
