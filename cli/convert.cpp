#include "ocelli/engine/convert.h"

#include <fmt/format.h>

#include <map>

#include "cli/common.h"

namespace ocelli::cli {

void add_convert(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("convert", "Write any checkpoint as safetensors");
  struct Convert {
    std::string model, output, dtype = "f32";
  };
  auto options = std::make_shared<Convert>();
  Common::add_rewrite(*command, options->model, options->output);
  add_choice(*command, "--dtype", options->dtype, {"f32", "f16", "bf16"},
             "Type of the numbers (default: f32)");
  common.add_output(*command);
  command->footer(
      "Reads safetensors and PyTorch's .bin, .pt and .pth (their code is not run), whole or\n"
      "in shards. Configuration and tokenizer files are copied, and what was written is\n"
      "read again and compared.\n"
      "Example:\n"
      "  ocelli convert model-folder -o out/ --dtype bf16");
  command->callback([options, &common] {
    static const std::map<std::string, DType> kTypes = {
        {"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}};
    const auto input = common.resolve(options->model);
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
