#include "cli/common.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "ocelli/base/threads.h"

namespace ocelli::cli {

void Common::add_output(CLI::App& command) {
  command.add_flag("--json", json, "Print JSON (docs/cli.md) on standard output");
  command.add_flag("-q,--quiet", quiet, "No progress and no warnings");
  command.add_option("-t,--threads", threads, "Threads (default: all cores)")
      ->check(CLI::PositiveNumber);
}

void Common::add_model(CLI::App& command) {
  command.add_option("-m,--model", model,
                     "Folder, checkpoint file, hub id (org/name[@revision]) or 'default'");
  command.add_option("--precision", precision, "auto, f32 (bf16, f16, int8 and int4 are to come)");
  command.add_flag("--strict", strict, "Stop at the first bad image; unused tensors are an error");
}

void Common::add_images(CLI::App& command, std::vector<std::string>& images) {
  command.add_option("images", images,
                     "Files, folders (recursive), globs, or - for names on standard input");
  add_batch(command);
}

void Common::add_batch(CLI::App& command) {
  command.add_option("-b,--batch", batch, "Images in one forward")->check(CLI::PositiveNumber);
  command.add_option("--max-pixels", max_pixels, "Larger images are refused")
      ->check(CLI::PositiveNumber);
}

std::shared_ptr<const OpenModel> Common::open() const {
  if (threads > 0) set_num_threads(threads);
  return open_model(
      model, {.precision = precision, .strict = strict, .progress = progress("downloading")});
}

RunOptions Common::run_options(const std::string& what) const {
  return {.batch = batch,
          .strict = strict,
          .decode = {.max_pixels = max_pixels},
          .progress = progress(what)};
}

Progress Common::progress(const std::string& what) const {
  if (quiet || !isatty(STDERR_FILENO)) return {};
  using Clock = std::chrono::steady_clock;
  return [what, start = Clock::now(), last = Clock::time_point{}](int64_t done,
                                                                  int64_t total) mutable {
    const auto now = Clock::now();
    if (done != total && now - last < std::chrono::milliseconds(100)) return;
    last = now;
    const double seconds = std::chrono::duration<double>(now - start).count(),
                 rate = done / std::max(seconds, 1e-6);
    const int filled = total > 0 ? static_cast<int>(30 * done / total) : 0;
    fmt::print(stderr, "\r{} [{:=<{}}{:<{}}] {}/{} {:.1f}/s, {:.0f} s left ", what, "", filled, "",
               30 - filled, done, total, rate, total > done ? (total - done) / rate : 0.0);
    if (done == total) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

void Common::report(const std::vector<ItemError>& errors) {
  for (const ItemError& item : errors) fmt::print(stderr, "ocelli: error: {}\n", item.error.what());
  if (!errors.empty()) status = error_info(errors[0].error.code()).exit_status;
}

void print_json(const nlohmann::ordered_json& json) {
  const std::string text =
      json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  if (std::fputs((text + "\n").c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    fail(ErrorCode::io, "standard output: cannot be written");
  }
}

}  // namespace ocelli::cli
