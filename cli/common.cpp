#include "cli/common.h"

#include <fmt/format.h>

#include "ocelli/base/file.h"
#include "ocelli/base/ranks.h"
#include "ocelli/base/threads.h"
#include "ocelli/hub/resolve.h"

namespace ocelli::cli {

void Common::add_output(CLI::App& command) {
  command.add_flag("--json", json, "Print JSON (docs/cli.md) on standard output")->group("Output");
  command.add_flag("-q,--quiet", quiet, "No progress and no warnings")->group("Output");
  command.add_option("-t,--threads", threads, "Threads to use (default: all cores)")
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name(kNumber);
  command.parse_complete_callback([this] {
    if (threads > 0) set_num_threads(threads);
  });
}

void Common::add_model(CLI::App& command) {
  command
      .add_option("-m,--model", model,
                  "A folder, a checkpoint file, a hub id (org/name[@revision]), or 'default'")
      ->type_name(kModel)
      ->group("Model");
  add_precision(command);
  add_size(command);
  command.add_flag("--strict", strict, "Stop at the first bad image; unused tensors are an error");
}

void Common::add_precision(CLI::App& command) {
  add_choice(command, "--precision", precision, {"auto", "f32", "bf16", "f16", "int8", "int4"},
             "Numbers to compute in (default: f32, or what a folder was quantised to); auto is "
             "the fastest that loses little (see 'info')")
      ->group("Model");
}

void Common::add_size(CLI::App& command) {
  command
      .add_option("--size", size,
                  "Images at this size, N or HEIGHTxWIDTH, instead of the model's own")
      ->type_name("SIZE")
      ->group("Model");
}

void Common::add_batch(CLI::App& command) {
  add_positive(command, "-b,--batch", batch, "Images in one forward (default: 8)");
  add_positive(command, "--max-pixels", max_pixels,
               "Larger images are refused (default: 178956970)");
}

void Common::add_labelled(CLI::App& command, std::string& train, std::string& test) {
  command
      .add_option("data", train,
                  "A folder with a sub-folder a class (or with train/ and val/), or a table")
      ->type_name(kFile)
      ->required();
  command.add_option("--test", test, "Images to test on")->type_name(kFile);
  add_batch(command);
  add_model(command);
  add_output(command);
}

void Common::add_images(CLI::App& command, std::vector<std::string>& images) {
  command
      .add_option("images", images,
                  "Files, folders (searched for images), globs, or - for names on standard input")
      ->type_name(kFile);
  add_batch(command);
}

void Common::add_rewrite(CLI::App& command, std::string& model, std::string& output) {
  command.add_option("model", model, "A folder, a checkpoint file or a hub id")
      ->type_name(kModel)
      ->required();
  command.add_option("-o,--output", output, "The folder to write")->type_name(kFolder)->required();
}

std::filesystem::path Common::resolve(const std::string& name) const {
  return hub::resolve(name, hub::Settings::from_environment(),
                      progress("downloading", Unit::bytes));
}

std::shared_ptr<const OpenModel> Common::open() const {
  OpenOptions options{
      .precision = precision, .strict = strict, .progress = progress("downloading", Unit::bytes)};
  if (!size.empty()) options.size = parse_size(size);
  return open_model(model, options);
}

RunOptions Common::run_options(const std::string& what) const {
  return {.batch = batch,
          .strict = strict,
          .decode = {.max_pixels = max_pixels},
          .progress = progress(what)};
}

Progress Common::progress(const std::string& what, Unit unit) const {
  return quiet ? Progress{} : progress_bar(what, unit);
}

void Common::check_output(const std::string& path) {
  if (!path.empty()) AtomicFile file(path);
}

void Common::run_ranks(const std::function<void()>& run) {
  quiet |= ranks().rank() > 0;
  try {
    run();
  } catch (const std::exception& error) {
    if (ranks().size() == 1) throw;
    const auto* known = dynamic_cast<const Error*>(&error);
    print_message(fmt::format("ocelli: error: rank {}: {}", ranks().rank(), error.what()));
    ranks().abort(error_info(known ? known->code() : ErrorCode::internal).exit_status);
  }
}

void Common::report(const std::vector<ItemError>& errors) {
  for (const ItemError& item : errors) {
    print_message(fmt::format("ocelli: error: {}", item.error.what()));
  }
  if (!errors.empty()) status = error_info(errors[0].error.code()).exit_status;
}

CLI::Option* add_choice(CLI::App& command, const std::string& names, std::string& value,
                        const std::vector<std::string>& choices, const std::string& description) {
  return command.add_option(names, value, description)
      ->check(CLI::IsMember(choices))
      ->type_name("");
}

ClassImages read_classes(const std::string& path, const std::string& option) {
  ImageList data = read_image_list(path);
  auto* images = std::get_if<ClassImages>(&data);
  check(images, "{}{}: holds captions; classes are needed", option, path);
  return std::move(*images);
}

void check_new_folder(const std::string& output) {
  check(output.empty() || !std::filesystem::exists(output),
        "train: {} is there already; name a new folder", output);
}

void print_json(const nlohmann::ordered_json& json) {
  hide_progress_bar();
  fmt::print("{}\n", json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace ocelli::cli
