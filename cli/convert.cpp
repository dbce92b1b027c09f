#include "ocelli/engine/convert.h"

#include <fmt/format.h>

#include <map>

#include "cli/common.h"
#include "ocelli/hub/resolve.h"

namespace ocelli::cli {

void add_convert(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("convert", "Write any checkpoint as safetensors");
  struct Convert {
    std::string model, output, dtype = "f32";
  };
  auto options = std::make_shared<Convert>();
  command->add_option("model", options->model, "Folder, checkpoint file or hub id")->required();
  command->add_option("-o,--output", options->output, "The folder to write")->required();
  command->add_option("--dtype", options->dtype, "f32, f16 or bf16")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  common.add_output(*command);
  command->callback([options, &common] {
    static const std::map<std::string, DType> kTypes = {
        {"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}};
    const auto input = hub::resolve(options->model, hub::Settings::from_environment(),
                                    common.progress("downloading"));
    const Conversion result =
        convert(input, options->output, kTypes.at(options->dtype), common.progress("converting"));
    if (common.json) {
      print_json(
          {{"output", options->output}, {"tensors", result.tensors}, {"bytes", result.bytes}});
    } else {
      fmt::print("{}: {} tensors, {:.1f} MB, read back and equal\n", options->output,
                 result.tensors, result.bytes / 1e6);
    }
  });
}

}  // namespace ocelli::cli
