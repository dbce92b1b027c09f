#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/hub/download.h"

namespace ocelli::cli {

void add_pull(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("pull", "Fetch a model into the Hugging Face cache");
  auto id = std::make_shared<std::string>();
  auto endpoint = std::make_shared<std::string>();
  command->add_option("model", *id, "org/name[@revision]; a revision is a branch, tag or commit")
      ->type_name(kText)
      ->required();
  command->add_option("--endpoint", *endpoint, "Another hub than $HF_ENDPOINT")->type_name(kText);
  common.add_output(*command);
  command->footer(
      "The cache is the one that Python's huggingface_hub keeps. What an interrupted call\n"
      "has fetched is kept and resumed; checksums are verified.\n"
      "Examples:\n"
      "  ocelli pull google/vit-base-patch16-224\n"
      "  ocelli pull org/name@v1.0 --endpoint https://hub.example.org");
  command->callback([=, &common] {
    const auto parsed = hub::parse_id(*id);
    check(parsed.has_value(), "pull {}: a hub id is org/name or org/name@revision", *id);
    auto settings = hub::Settings::from_environment();
    if (!endpoint->empty()) settings.endpoint = *endpoint;
    const hub::Download result =
        hub::download(*parsed, settings, common.progress("downloading", Unit::bytes));
    if (common.json) {
      print_json({{"path", result.folder.string()},
                  {"commit", result.commit},
                  {"fetched", result.fetched},
                  {"bytes", result.bytes}});
    } else {
      fmt::print("{}\n", result.folder.string());
    }
  });
}

}  // namespace ocelli::cli
