#include <fmt/format.h>

#include <iostream>

#include "cli/index_model.h"
#include "ocelli/data/image_list.h"
#include "ocelli/engine/exchange.h"

namespace ocelli::cli {
namespace {

namespace fs = std::filesystem;

struct IndexOptions {
  std::vector<std::string> inputs, add, remove;
  std::string output, captions, kind, import_from, export_to;
  bool status = false, verify = false, compact = false;
};

void print_update(const std::string& folder, const IndexUpdate& update, const IndexWriter& writer,
                  const Common& common) {
  const int64_t images = writer.catalogue().count();
  if (common.json) {
    print_json({{"index", folder},
                {"images", images},
                {"added", update.added},
                {"changed", update.changed},
                {"removed", update.removed},
                {"unchanged", update.unchanged},
                {"failed", update.errors.size()}});
  } else if (!common.quiet) {
    hide_progress_bar();
    fmt::print("{}: {} images ({} added, {} changed, {} removed, {} unchanged, {} failed)\n",
               folder, images, update.added, update.changed, update.removed, update.unchanged,
               update.errors.size());
  }
}

void update_nearest(IndexWriter& writer, const std::string& kind, const Common& common) {
  if (!kind.empty()) writer.set_kind(index_kind(kind));
  writer.update_nearest(common.progress("building what finds near images"));
}

struct Images {
  std::vector<std::string> names;
  bool only_add = false;
};

void update(const std::string& folder, const Images& images, const std::string& kind,
            const CLI::App& command, Common& common) {
  const auto state = find_state(folder);
  std::unique_ptr<IndexWriter> writer;
  if (state) writer = std::make_unique<IndexWriter>(folder);
  const auto opened = state ? open_model_of(*state, command, common) : common.open();
  if (!state) writer = std::make_unique<IndexWriter>(folder, state_for(*opened, common.size));
  const IndexUpdate result =
      index_images(*writer, *opened, images.names, std::cin,
                   {.run = common.run_options("embedding"), .only_add = images.only_add});
  update_nearest(*writer, kind, common);
  print_update(folder, result, *writer, common);
  common.report(result.errors);
}

void remove(const std::string& folder, const std::vector<std::string>& names, Common& common) {
  IndexWriter writer(folder);
  IndexUpdate result;
  result.removed = remove_images(writer, names);
  result.unchanged = writer.catalogue().count();
  print_update(folder, result, writer, common);
}

void add_captions(const std::string& folder, const std::string& table, const Common& common) {
  const ImageList data = read_image_list(table);
  const auto* captioned = std::get_if<CaptionedImages>(&data);
  check(captioned, "--captions {}: the table has labels, no captions", table);
  IndexWriter writer(folder);
  const int64_t count = set_captions(writer, *captioned);
  if (common.json) {
    print_json({{"index", folder}, {"captions", count}});
  } else if (!common.quiet) {
    fmt::print("{}: {} images have captions of {}\n", folder, count, table);
  }
}

void import(const IndexOptions& options, const CLI::App& command, Common& common) {
  const std::string& folder = options.output;
  const auto state = find_state(folder);
  const auto opened = state ? open_model_of(*state, command, common) : common.open();
  IndexWriter writer(folder, state_for(*opened, common.size));
  const ImportResult result =
      import_embeddings(writer, options.import_from, common.progress("importing"));
  update_nearest(writer, options.kind, common);
  if (common.json) {
    print_json({{"index", folder},
                {"images", writer.catalogue().count()},
                {"added", result.added},
                {"replaced", result.replaced},
                {"failed", result.errors.size()}});
  } else if (!common.quiet) {
    hide_progress_bar();
    fmt::print("{}: {} images ({} added, {} replaced, {} failed)\n", folder,
               writer.catalogue().count(), result.added, result.replaced, result.errors.size());
  }
  common.report(result.errors);
}

void export_index(const std::string& folder, const std::string& to, const Common& common) {
  const ImageIndex index(folder);
  const int64_t images = index.catalogue().count();
  const bool faiss = fs::path(to).extension() == ".faiss";
  const std::string written = faiss ? "faiss " + kind_name(export_faiss(index, to)) : "folder";
  if (!faiss) export_folder(index, to, common.progress("exporting"));
  if (common.json) {
    print_json({{"index", folder}, {"images", images}, {"to", to}, {"written", written}});
  } else if (!common.quiet) {
    hide_progress_bar();
    fmt::print("{}: {} images of {} ({})\n", to, images, folder, written);
  }
}

void show_status(const std::string& folder, const Common& common) {
  const ImageIndex index(folder);
  const IndexState& state = index.state();
  const int64_t images = index.catalogue().count();
  uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    std::error_code ignored;  // a writer's files come and go
    if (entry.is_regular_file(ignored)) bytes += entry.file_size(ignored);
  }
  if (common.json) {
    print_json({{"index", folder},
                {"model", state.model},
                {"revision", state.fingerprint},
                {"size", state.size},
                {"width", state.width},
                {"images", images},
                {"failed", index.catalogue().failed()},
                {"removed_vectors", state.rows - images},
                {"kind", kind_name(index.kind())},
                {"covered_vectors", index.covered()},
                {"bytes", bytes}});
    return;
  }
  fmt::print(
      "images           {}\nfailed           {}\nmodel            {}{}\nweights          {}\n",
      images, index.catalogue().failed(), state.model,
      state.size.empty() ? "" : " at " + state.size, state.fingerprint);
  fmt::print("vectors          {} of {} numbers, {} of removed images\nkind             {}{}\n",
             state.rows, state.width, state.rows - images, kind_name(index.kind()),
             index.covered() == 0 ? "" : fmt::format(" of {} vectors", index.covered()));
  fmt::print("on disk          {:.1f} MB\n", static_cast<double>(bytes) / 1e6);
}

void verify(const std::string& folder, Common& common) {
  const std::vector<std::string> problems = verify_index(folder);
  for (const std::string& problem : problems) print_message("ocelli: error: " + problem);
  if (!problems.empty()) common.status = error_info(ErrorCode::corrupt_data).exit_status;
  if (common.json) {
    print_json({{"index", folder}, {"problems", problems}});
  } else if (problems.empty() && !common.quiet) {
    fmt::print("{}: every byte is as it was written\n", folder);
  }
}

void compact(const std::string& folder, const std::string& kind, const Common& common) {
  IndexWriter writer(folder);
  const int64_t before = writer.state().rows;
  writer.compact();
  update_nearest(writer, kind, common);
  if (common.json) {
    print_json({{"index", folder}, {"before", before}, {"vectors", writer.state().rows}});
  } else if (!common.quiet) {
    hide_progress_bar();
    fmt::print("{}: {} vectors, {} were taken out\n", folder, writer.state().rows,
               before - writer.state().rows);
  }
}

void run(const IndexOptions& options, const CLI::App& command, Common& common) {
  const int actions = !options.add.empty() + !options.remove.empty() + !options.captions.empty() +
                      !options.export_to.empty() + options.status + options.verify +
                      options.compact;
  check(actions + !options.import_from.empty() <= 1,
        "index: one of --add, --remove, --captions, --import, --export, --status, --verify, "
        "--compact");
  if (!options.kind.empty()) index_kind(options.kind);
  if (actions == 0) {
    check(!options.output.empty(), "index: -o names the index to make or to bring up to date");
    check(options.inputs.empty() == !options.import_from.empty(),
          "index: give the images to index, or --import FOLDER or FILE");
    if (!options.import_from.empty()) return import(options, command, common);
    return update(options.output, {options.inputs}, options.kind, command, common);
  }
  check(
      options.output.empty() && options.inputs.size() == 1,
      "index: with --add, --remove, --captions, --export, --status, --verify or --compact give the "
      "index, as in 'ocelli index photos.oci --status'");
  check(options.kind.empty() || !options.add.empty() || options.compact,
        "index: --kind goes with -o, --add or --compact");
  const std::string& folder = options.inputs[0];
  if (!is_index(folder)) fail(ErrorCode::not_found, "{}: is no index", folder);
  if (!options.add.empty()) {
    return update(folder, {options.add, true}, options.kind, command, common);
  }
  if (!options.remove.empty()) return remove(folder, options.remove, common);
  if (!options.captions.empty()) return add_captions(folder, options.captions, common);
  if (!options.export_to.empty()) return export_index(folder, options.export_to, common);
  if (options.status) return show_status(folder, common);
  options.verify ? verify(folder, common) : compact(folder, options.kind, common);
}

void add_actions(CLI::App& command, IndexOptions& options) {
  command.add_option("--add", options.add, "Add images to an index and take none out")
      ->type_name(kFile);
  command.add_option("--remove", options.remove, "Take images out, by their files or folders")
      ->type_name(kFile);
  command.add_option("--captions", options.captions, "Note the captions of a table (.csv, .tsv)")
      ->type_name(kFile);
  command
      .add_option("--import", options.import_from,
                  "Take the embeddings of a folder of clip-retrieval (img_emb, metadata), or of a "
                  "file of FAISS with such metadata beside it")
      ->type_name(kFile);
  command
      .add_option("--export", options.export_to,
                  "Write such a folder, or for a name that ends in .faiss an index of FAISS")
      ->type_name(kFile);
  command.add_flag("--status", options.status, "Say what is in an index");
  command.add_flag("--verify", options.verify, "Read all of an index and name what is damaged");
  command.add_flag("--compact", options.compact, "Leave out the vectors of removed images");
  command
      .add_option("--kind", options.kind,
                  "How near images are found: flat, hnsw, ivfpq, or auto, by their number "
                  "(default: auto; kept with the index)")
      ->type_name("KIND");
}

}  // namespace

std::shared_ptr<const OpenModel> open_model_of(const IndexState& state, const CLI::App& command,
                                               Common& common) {
  if (command.count("--model") == 0) {
    common.model = state.model;
    if (common.size.empty()) common.size = state.size;
  }
  auto opened = common.open();
  check_same_model(state, *opened);
  return opened;
}

void add_index(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("index", "Make an index of images, and keep it up to date");
  auto options = std::make_shared<IndexOptions>();
  common.add_images(*command, options->inputs);
  common.add_model(*command);
  common.add_output(*command);
  command
      ->add_option("-o,--output", options->output,
                   "The index, a folder: made, or brought up to date with the images")
      ->type_name(kFolder)
      ->group("Output");
  add_actions(*command, *options);
  command->footer(
      "Run it again: only files that are new, changed or gone are touched. An interrupted run\n"
      "goes on where it was.\n"
      "Examples:\n"
      "  ocelli index photos/ -m clip-folder -o photos.oci\n"
      "  ocelli index photos.oci --add more/ --json\n"
      "  ocelli index photos.oci --verify");
  command->callback([options, command, &common] { run(*options, *command, common); });
}

}  // namespace ocelli::cli
