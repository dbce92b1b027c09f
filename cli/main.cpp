#include <fmt/format.h>

#include <csignal>

#include "cli/common.h"
#include "ocelli/base/log.h"

namespace {

// The first signal lets work end tidily, the second ends the program.
void on_signal(int signal) {
  if (ocelli::cancel_requested()) std::_Exit(128 + signal);
  ocelli::request_cancel();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ocelli;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGXFSZ, SIG_IGN);  // a full quota is an error like others
  cli::Common common;
  CLI::App app("One engine for large vision models");
  app.set_version_flag("--version", "ocelli " OCELLI_VERSION);
  app.require_subcommand(1);
  cli::add_classify(app, common);
  cli::add_embed(app, common);
  cli::add_match(app, common);
  cli::add_eval(app, common);
  cli::add_info(app, common);
  cli::add_convert(app, common);
  cli::add_bench(app, common);
  cli::add_pull(app, common);
  set_log_callback([&](LogLevel level, const std::string& message) {
    if (!common.quiet)
      fmt::print(stderr, "ocelli: {}{}\n", level == LogLevel::warning ? "warning: " : "", message);
  });
  try {
    app.parse(argc, argv);
    return common.status;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : error_info(ErrorCode::invalid_argument).exit_status;
  } catch (const Error& error) {
    fmt::print(stderr, "ocelli: error: {}\n", error.what());
    return error_info(error.code()).exit_status;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "ocelli: error: out of memory\n");
    return error_info(ErrorCode::out_of_memory).exit_status;
  } catch (const std::exception& error) {
    fmt::print(stderr, "ocelli: internal error: {}\n", error.what());
    return error_info(ErrorCode::internal).exit_status;
  }
}
