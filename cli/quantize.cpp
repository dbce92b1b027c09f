#include "ocelli/engine/quantize.h"

#include <fmt/format.h>

#include <iostream>

#include "cli/common.h"
#include "ocelli/data/inputs.h"

namespace ocelli::cli {
namespace {

struct Quantize {
  std::string model, output, precision = "int8";
  int64_t group = 32;
  std::vector<std::string> photographs;
  bool fixed_ranges = false, search = false;
  double target = QuantizeOptions{}.target;
};

nlohmann::ordered_json to_json(const Quantize& options, const QuantizeResult& result) {
  nlohmann::ordered_json block = result.quantization.to_json();
  block.erase("quant_method");
  block.erase("version");
  block["weights"] = result.quantization.weights.size();
  if (block.contains("inputs")) block["inputs"] = result.quantization.inputs.size();
  block["bytes"] = result.bytes;
  nlohmann::ordered_json json = {{"output", options.output}};
  json.update(block);
  return json;
}

void run(const Quantize& options, Common& common) {
  const auto input = common.resolve(options.model);
  QuantizeOptions how{.precision = *backend::parse_precision(options.precision),
                      .group = options.group,
                      .fixed_ranges = options.fixed_ranges,
                      .search = options.search,
                      .target = options.target,
                      .progress = common.progress("searching")};
  if (!options.photographs.empty()) how.calibration = list_images(options.photographs, std::cin);
  const QuantizeResult result = quantize(input, options.output, how);
  if (common.json) return print_json(to_json(options, result));
  const Quantization& q = result.quantization;
  fmt::print("{}: {}, {:.1f} MB", options.output, options.precision, result.bytes / 1e6);
  if (!q.kept.empty()) fmt::print(", {} weights kept in bf16", q.kept.size());
  if (q.images > 0) {
    fmt::print("; {} norms smoothed; cosine to f32 on {} images {:.5f}, worst {:.5f}", q.smoothed,
               q.images, q.mean_cosine, q.worst_cosine);
  }
  fmt::print("\n");
}

}  // namespace

void add_quantize(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("quantize", "Write a model in fewer bits");
  auto options = std::make_shared<Quantize>();
  Common::add_rewrite(*command, options->model, options->output);
  add_choice(*command, "--precision", options->precision, {"int8", "int4", "bf16"},
             "Of linear layers and convolutions (default: int8)");
  command
      ->add_option("--group", options->group, "Numbers that share a step, for int4 (default: 32)")
      ->check(CLI::IsMember({32, 128}).description(""))
      ->type_name("32|128");
  command
      ->add_option("--calibrate", options->photographs,
                   "Images to smooth activations by (int8) and to measure the loss on")
      ->type_name(kFile);
  command->add_flag(
      "--static", options->fixed_ranges,
      "int8: activations in the range of the images of --calibrate, not each row's own");
  command->add_flag("--search", options->search,
                    "Keep in bf16 the layers that lose most, as few as the target needs");
  command
      ->add_option("--target", options->target,
                   "Worst cosine to f32 that --search is to reach (default: 0.995)")
      ->check(CLI::Range(0.0, 1.0).description(""))
      ->type_name(kNumber);
  common.add_output(*command);
  command->footer(
      "The folder opens in every command, in the precision it was quantised to unless\n"
      "--precision says otherwise.\n"
      "Examples:\n"
      "  ocelli quantize model-folder -o small/\n"
      "  ocelli quantize model-folder -o small/ --calibrate photos/ --search");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
