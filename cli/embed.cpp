#include "ocelli/engine/embed.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <iostream>

#include "cli/common.h"
#include "ocelli/base/file.h"
#include "ocelli/data/inputs.h"
#include "ocelli/formats/npy.h"

namespace ocelli::cli {
namespace {

struct Embed {
  std::vector<std::string> images;
  std::string text, output, features, layers;
  bool raw = false;
};

Forward forward_of(const Embed& options, const OpenModel& opened) {
  if (options.features.empty())
    return [&](const Tensor& pixels) { return embed_pixels(opened, pixels, !options.raw); };
  return [&, features = parse_features(options.features),
          layers = options.layers.empty() ? std::vector{-1}
                                          : parse_layers(options.layers, opened.model->depth())](
             const Tensor& pixels) {
    return feature_pixels(opened, pixels, features, layers, !options.raw);
  };
}

// By a forward over a blank image: what cannot be had is said before the work.
Shape row_shape(const Embed& options, const OpenModel& opened) {
  if (options.features.empty()) return {opened.model->embedding_size()};
  const auto [height, width] = opened.processor.output_size();
  return forward_of(options, opened)(Tensor::zeros({1, height, width, 3})).select(0, 0).shape();
}

// out.npy holds the rows, out.jsonl beside it one line a row; both appear when both are complete.
void run(const Embed& options, Common& common) {
  const bool texts = !options.text.empty();
  check(texts || !options.images.empty(), "embed: give images, or --text FILE");
  check(!texts || options.images.empty(), "embed: give either images or --text, not both");
  check(!texts || options.features.empty(), "embed: --features is for images");
  check(options.layers.empty() || !options.features.empty(),
        "embed: --layers goes with --features");
  const auto items =
      texts ? read_lines(options.text, false) : list_images(options.images, std::cin);
  const auto opened = common.open();
  const Shape shape = row_shape(options, *opened);
  NpyWriter rows(options.output, shape, DType::f32);
  AtomicFile names(std::filesystem::path(options.output).replace_extension(".jsonl"));
  const auto deliver = [&](int64_t i, const Tensor& row) {
    const nlohmann::ordered_json line = {{"row", rows.rows()}, {texts ? "text" : "path", items[i]}};
    rows.append(row);
    names.write(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  };
  std::vector<ItemError> errors;
  if (texts) {
    TextRun run;
    run.count = static_cast<int64_t>(items.size());
    run.text = [&](int64_t i) { return items[i]; };
    run.normalize = !options.raw;
    run.progress = common.progress("embedding");
    embed_texts(*opened, run, deliver);
  } else {
    errors = run_images(opened->processor, items, forward_of(options, *opened), deliver,
                        common.run_options("embedding"));
  }
  rows.commit();
  names.commit();
  if (common.json) {
    print_json({{"output", options.output},
                {"rows", rows.rows()},
                {"width", shape[-1]},
                {"shape", shape}});
  } else if (!common.quiet) {
    fmt::print("{}: {} rows of {}\n", options.output, rows.rows(), fmt::join(shape, "x"));
  }
  common.report(errors);
}

}  // namespace

void add_embed(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("embed", "Write embeddings of images or texts as .npy");
  auto options = std::make_shared<Embed>();
  common.add_images(*command, options->images);
  common.add_model(*command);
  common.add_output(*command);
  command->add_option("-o,--output", options->output, "The .npy file; names go to .jsonl beside it")
      ->type_name(kFile)
      ->group("Output")
      ->required();
  command->add_option("--text", options->text, "Embed the lines of this file instead of images")
      ->type_name(kFile);
  add_choice(*command, "--features", options->features, {"cls", "patch-mean", "cls+mean", "patch"},
             "Tokens of a transformer after its final norm instead of its embedding: the class "
             "token, the mean patch, both, or every patch [rows, columns, C]");
  command
      ->add_option(
          "--layers", options->layers,
          "Blocks side by side, for --features: the last N, or a list, counted from 1, as in "
          "4,8,12 (default: 1)")
      ->type_name("N[,N...]");
  command->add_flag("--raw", options->raw, "Do not scale the embeddings to length 1");
  command->footer(
      "Row n of the .npy file belongs to line n of the .jsonl file; both are in input\n"
      "order. Images that cannot be read have no row; they are named, and the exit status\n"
      "says so.\n"
      "Examples:\n"
      "  ocelli embed photos/ -m clip-folder -o photos.npy\n"
      "  ocelli embed --text captions.txt -m clip-folder -o captions.npy\n"
      "  ocelli embed photos/ -m dinov2-folder --features patch --layers 3,6,9,12 --raw -o "
      "maps.npy");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
