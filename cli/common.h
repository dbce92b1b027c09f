// What the commands share: options, progress and output.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ocelli/engine/open.h"
#include "ocelli/engine/pipeline.h"

namespace ocelli::cli {

struct Common {
  std::string model = "default", precision = "auto";
  bool json = false, quiet = false, strict = false;
  int threads = 0;  // 0: all cores
  int64_t batch = 8, max_pixels = DecodeOptions{}.max_pixels;
  int status = 0;  // of the program, when some of the images failed

  void add_output(CLI::App& command);  // --json --quiet --threads
  void add_model(CLI::App& command);   // --model --precision --strict
  void add_batch(CLI::App& command);   // --batch --max-pixels
  void add_images(CLI::App& command, std::vector<std::string>& images);

  std::shared_ptr<const OpenModel> open() const;
  RunOptions run_options(const std::string& what) const;
  Progress progress(const std::string& what) const;  // none unless stderr is a terminal
  // Names the images that failed on stderr; the first one's class becomes the exit status.
  void report(const std::vector<ItemError>& errors);
};

// Bytes of names that are not UTF-8 are replaced.
void print_json(const nlohmann::ordered_json& json);

void add_bench(CLI::App& app, Common& common);
void add_classify(CLI::App& app, Common& common);
void add_convert(CLI::App& app, Common& common);
void add_embed(CLI::App& app, Common& common);
void add_eval(CLI::App& app, Common& common);
void add_info(CLI::App& app, Common& common);
void add_match(CLI::App& app, Common& common);
void add_pull(CLI::App& app, Common& common);

}  // namespace ocelli::cli
