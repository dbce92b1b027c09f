// What the commands share: options, progress and output.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "ocelli/data/image_list.h"
#include "ocelli/engine/open.h"
#include "ocelli/engine/pipeline.h"

namespace ocelli::cli {

struct Common {
  std::string model = "default", precision, size;
  bool json = false, quiet = false, strict = false;
  int threads = 0;  // 0: all cores
  int64_t batch = 8, max_pixels = DecodeOptions{}.max_pixels;
  int status = 0;  // of the program, when some of the images failed

  void add_output(CLI::App& command);  // --json --quiet --threads
  void add_model(CLI::App& command);   // --model --precision --size --strict
  void add_precision(CLI::App& command);
  void add_size(CLI::App& command);
  void add_batch(CLI::App& command);  // --batch --max-pixels
  // For what learns from features: data, --test, and all that embedding and printing need.
  void add_labelled(CLI::App& command, std::string& train, std::string& test);
  void add_images(CLI::App& command, std::vector<std::string>& images);

  // A model to read and the folder to write it to.
  static void add_rewrite(CLI::App& command, std::string& model, std::string& output);

  std::shared_ptr<const OpenModel> open() const;
  // Where a folder, a checkpoint file or a hub id lies; downloads what is not there.
  std::filesystem::path resolve(const std::string& name) const;
  RunOptions run_options(const std::string& what) const;
  Progress progress(const std::string& what, Unit unit = Unit::items) const;  // none when quiet
  // A file that cannot be written later is an error now.
  static void check_output(const std::string& path);
  // What several ranks do together (docs/distributed.md). One that fails ends the others, which
  // would wait for it; rank 0 alone speaks of what goes well.
  void run_ranks(const std::function<void()>& run);
  // Names the images that failed on stderr; the first one's class becomes the exit status.
  void report(const std::vector<ItemError>& errors);
};

// Names of values in help, man page and completion; see value_of.
constexpr const char *kFile = "FILE", *kFolder = "FOLDER", *kModel = "MODEL", *kNumber = "N",
                     *kText = "TEXT";

// An option that takes one of a few words.
CLI::Option* add_choice(CLI::App& command, const std::string& names, std::string& value,
                        const std::vector<std::string>& choices, const std::string& description);

template <typename T>
CLI::Option* add_positive(CLI::App& command, const std::string& names, T& value,
                          const std::string& description) {
  return command.add_option(names, value, description)
      ->check(CLI::PositiveNumber.description(""))
      ->type_name(kNumber);
}

// Images with classes; `option` is named where the file holds captions.
ClassImages read_classes(const std::string& path, const std::string& option = "");

// For what `ocelli train` writes; nothing when empty.
void check_new_folder(const std::string& output);

// Bytes of names that are not UTF-8 are replaced.
void print_json(const nlohmann::ordered_json& json);

void add_bench(CLI::App& app, Common& common);
void add_classify(CLI::App& app, Common& common);
void add_cluster(CLI::App& app, Common& common);
void add_completion(CLI::App& app);
void add_convert(CLI::App& app, Common& common);
void add_curate(CLI::App& app, Common& common);
void add_dedup(CLI::App& app, Common& common);
void add_embed(CLI::App& app, Common& common);
void add_eval(CLI::App& app, Common& common);
void add_explain(CLI::App& app, Common& common);
void add_index(CLI::App& app, Common& common);
void add_info(CLI::App& app, Common& common);
void add_knn(CLI::App& app, Common& common);
void add_man(CLI::App& app);
void add_match(CLI::App& app, Common& common);
void add_outliers(CLI::App& app, Common& common);
void add_plot(CLI::App& app, Common& common);
void add_pull(CLI::App& app, Common& common);
void add_quantize(CLI::App& app, Common& common);
void add_runs(CLI::App& app, Common& common);
void add_search(CLI::App& app, Common& common);
void add_train(CLI::App& app, Common& common);
void add_train_probes(CLI::App& train, Common& common);
void add_train_prompts(CLI::App& train, Common& common);

}  // namespace ocelli::cli
