#include "ocelli/engine/convert.h"

#include <fmt/format.h>

#include <map>

#include "cli/common.h"

namespace ocelli::cli {

void add_convert(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("convert", "Write any checkpoint as safetensors");
  struct Convert {
    std::string model, output, dtype, precision;
    bool packed = false;
  };
  auto options = std::make_shared<Convert>();
  Common::add_rewrite(*command, options->model, options->output);
  add_choice(*command, "--dtype", options->dtype, {"f32", "f16", "bf16"},
             "Type of the numbers (default: f32, or with --packed as they are)");
  command->add_flag("--packed", options->packed,
                    "Also write the weights as this processor multiplies them, for a quick start");
  add_choice(*command, "--precision", options->precision, {"auto", "f32", "bf16", "int8", "int4"},
             "Of --packed (default: f32, or what a folder was quantised to)");
  common.add_output(*command);
  command->footer(
      "Reads safetensors and PyTorch's .bin, .pt and .pth (their code is not run), whole or\n"
      "in shards. Configuration and tokenizer files are copied, and what was written is\n"
      "read again and compared. A packed folder serves this kind of processor in that\n"
      "precision; elsewhere its plain weights are used.\n"
      "Examples:\n"
      "  ocelli convert model-folder -o out/ --dtype bf16\n"
      "  ocelli convert model-folder -o quick/ --packed --precision bf16");
  command->callback([options, &common] {
    static const std::map<std::string, DType> kTypes = {
        {"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}};
    check(options->packed || options->precision.empty(),
          "convert: --precision is that of --packed; --dtype is that of the file");
    const auto input = common.resolve(options->model);
    std::optional<DType> dtype;
    if (!options->dtype.empty()) dtype = kTypes.at(options->dtype);
    if (!dtype && !options->packed) dtype = DType::f32;
    const Conversion result = convert(input, options->output, dtype, common.progress("converting"));
    const int64_t packed = options->packed ? pack(options->output, options->precision) : 0;
    if (common.json) {
      nlohmann::ordered_json json = {
          {"output", options->output}, {"tensors", result.tensors}, {"bytes", result.bytes}};
      if (packed) json["packed_bytes"] = packed;
      print_json(json);
    } else {
      fmt::print("{}: {} tensors, {:.1f} MB, read back and equal\n", options->output,
                 result.tensors, result.bytes / 1e6);
      if (packed) fmt::print("packed.safetensors: {:.1f} MB\n", packed / 1e6);
    }
  });
}

}  // namespace ocelli::cli
