#include <fmt/format.h>

#include "cli/common.h"
#include "cli/info_text.h"

namespace ocelli::cli {
namespace {

struct Info {
  std::string model = "default";
  bool tensors = false, check = false, families = false;
};

nlohmann::ordered_json to_json(const Description& d, const Info& options) {
  const CheckpointInfo& file = d.checkpoint;
  nlohmann::ordered_json json = {{"model", d.name},
                                 {"path", file.path},
                                 {"layout", file.layout},
                                 {"type", file.type},
                                 {"tensor_count", file.tensors.size()},
                                 {"bytes", file.bytes}};
  if (d.model) {
    const ModelInfo& m = *d.model;
    json.update({{"family", m.family},
                 {"parameters", m.parameters},
                 {"gflops", m.image_gflops},
                 {"text_gflops", m.text_gflops},
                 {"input", m.input},
                 {"embedding", m.embedding},
                 {"depth", m.depth},
                 {"classes", m.classes},
                 {"precision", backend::precision_name(m.precision.precision)},
                 {"precision_reason", m.precision.reason},
                 {"text", m.context_length > 0},
                 {"context_length", m.context_length},
                 {"missing", m.weights.missing},
                 {"unused", m.weights.unused}});
  }
  json["config"] = file.config;
  if (options.check) json["not_finite"] = file.not_finite;
  if (options.tensors) {
    for (const TensorInfo& t : file.tensors) {
      json["tensors"].push_back({{"name", t.name},
                                 {"dtype", dtype_name(t.dtype)},
                                 {"shape", std::vector<int64_t>(t.shape.begin(), t.shape.end())}});
    }
  }
  return json;
}

void print_families(bool json) {
  auto array = nlohmann::ordered_json::array();
  for (const Family* family : families()) {
    array.push_back({{"family", family->name}, {"accepts", family->accepts}});
    if (!json) fmt::print("{:<14} {}\n", family->name, family->accepts);
  }
  if (json) print_json(array);
}

void run(const Info& options, Common& common) {
  if (options.families) return print_families(common.json);
  DescribeOptions describing;
  describing.open.strict = common.strict;
  describing.open.progress = common.progress("downloading", Unit::bytes);
  describing.check = options.check;
  describing.progress = common.progress("checking");
  const Description d = describe(options.model, describing);
  if (common.json) {
    print_json(to_json(d, options));
  } else {
    fmt::print("{}", info_text(d, options.check));
    for (const TensorInfo& t : d.checkpoint.tensors) {
      if (options.tensors) fmt::print("  {:<5} {:<20} {}\n", t.dtype, t.shape, t.name);
    }
  }
  if (const auto& bad = d.checkpoint.not_finite; !bad.empty()) {
    fail(ErrorCode::corrupt_data, "{}: NaN or infinity in {} of {} tensors, the first of them {}",
         d.checkpoint.path, bad.size(), d.checkpoint.tensors.size(), bad[0]);
  }
  if (d.problem) throw *d.problem;
}

}  // namespace

void add_info(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("info", "Say what a model is");
  auto options = std::make_shared<Info>();
  command
      ->add_option("model", options->model, "A folder, a checkpoint file, a hub id, or 'default'")
      ->type_name(kModel);
  command->add_flag("--tensors", options->tensors, "List the tensors");
  command->add_flag("--check", options->check, "Look for NaN and infinity in the weights");
  command->add_flag("--families", options->families, "List the families of models that are known");
  command->add_flag("--strict", common.strict, "Unused tensors are an error");
  common.add_output(*command);
  command->footer(
      "Examples:\n"
      "  ocelli info google/vit-base-patch16-224\n"
      "  ocelli info model-folder --tensors --check");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
