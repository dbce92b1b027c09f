#include <fmt/format.h>

#include <csignal>
#include <set>
#include <system_error>

#include "cli/common.h"
#include "cli/help.h"
#include "ocelli/base/log.h"

namespace {

using namespace ocelli;

volatile std::sig_atomic_t received = SIGINT;

// The first signal lets work end tidily, the second ends the program.
void on_signal(int signal) {
  received = signal;
  if (!request_cancel()) std::_Exit(128 + signal);
}

void set_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: reading standard input ends, too
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);  // which mpirun passes on, and leaves time after it
  std::signal(SIGXFSZ, SIG_IGN);         // a full quota is an error like others
}

void group_commands(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands({})) {
    if (!command->get_group().empty()) command->group("Commands");
    group_commands(*command);
  }
}

void set_up(CLI::App& app, cli::Common& common) {
  app.formatter(std::make_shared<cli::HelpFormatter>());
  app.set_version_flag("--version", "ocelli " OCELLI_VERSION, "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.require_subcommand(1);
  app.footer("'ocelli COMMAND --help' lists the options of a command and shows examples.");
  cli::add_classify(app, common);
  cli::add_embed(app, common);
  cli::add_match(app, common);
  cli::add_eval(app, common);
  cli::add_explain(app, common);
  cli::add_index(app, common);
  cli::add_search(app, common);
  cli::add_cluster(app, common);
  cli::add_outliers(app, common);
  cli::add_knn(app, common);
  cli::add_dedup(app, common);
  cli::add_curate(app, common);
  cli::add_train(app, common);
  cli::add_runs(app, common);
  cli::add_plot(app, common);
  cli::add_info(app, common);
  cli::add_convert(app, common);
  cli::add_quantize(app, common);
  cli::add_bench(app, common);
  cli::add_pull(app, common);
  cli::add_completion(app);
  cli::add_man(app);
  group_commands(app);
}

int complain(ErrorCode code, const std::string& message) {
  // An interrupted read or write may have failed in many ways.
  const bool cancelled = cancel_requested();
  cli::print_message(fmt::format("ocelli: error: {}", cancelled ? "cancelled" : message));
  return cancelled ? 128 + received : error_info(code).exit_status;
}

// What was typed makes no sense.
int complain_about_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (argc < 2) {
    fmt::print("{}", app.help());
    return error_info(ErrorCode::invalid_argument).exit_status;
  }
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  if (command != &app) {
    return complain(
        ErrorCode::invalid_argument,
        fmt::format("{} (see 'ocelli {} --help')", error.what(), cli::full_name(*command)));
  }
  std::string names;
  for (const CLI::App* known : cli::commands(app)) names += " " + known->get_name();
  return complain(ErrorCode::invalid_argument,
                  fmt::format("'{}' is no command; there are{}", argv[1], names));
}

int run(CLI::App& app, const cli::Common& common, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    if (std::fflush(stdout) != 0) fail(ErrorCode::io, "standard output cannot be written");
    return common.status;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return complain_about_usage(app, error, argc, argv);
  } catch (const Error& error) {
    return complain(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return complain(ErrorCode::out_of_memory, "out of memory");
  } catch (const std::system_error& error) {
    return complain(ErrorCode::io, error.what());
  } catch (const std::exception& error) {
    return complain(ErrorCode::internal, fmt::format("a defect of Ocelli: {}", error.what()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  set_signals();
  cli::Common common;
  CLI::App app("One engine for large vision models", "ocelli");
  set_up(app, common);
  std::set<std::string> said;  // once each: training builds its model at every step
  set_log_callback([&](LogLevel level, const std::string& message) {
    if (common.quiet || !said.insert(message).second) return;
    cli::print_message(
        fmt::format("ocelli: {}{}", level == LogLevel::warning ? "warning: " : "", message));
  });
  return run(app, common, argc, argv);
}
