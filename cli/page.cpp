#include "cli/page.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>

#include <cstdlib>
#include <filesystem>

namespace ocelli::cli {
namespace {

bool has_display() {
  for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY"}) {
    const char* value = std::getenv(name);
    if (value && *value) return true;
  }
  return false;
}

// A session of its own, so that the browser stays when the terminal goes. Nobody waits for it.
bool start_browser(std::string path) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  for (const int descriptor : {0, 1, 2})
    posix_spawn_file_actions_addopen(&files, descriptor, "/dev/null", O_RDWR, 0);
  std::string name = "xdg-open";
  char* arguments[] = {name.data(), path.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, name.c_str(), &files, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error == 0;
}

}  // namespace

void add_page(CLI::App& command, Page& page, const std::string& description) {
  command.add_option("--html", page.path, description)->type_name(kFile)->group("Output");
  command
      .add_option_function<std::string>(
          "--open", [&page](const std::string& path) { page = {.path = path, .open = true}; },
          "As --html, and show the page in the browser")
      ->type_name(kFile)
      ->group("Output");
}

void show(const Page& page, bool quiet) {
  if (!page.open) return;
  const std::string path = std::filesystem::absolute(page.path);
  if (has_display() && start_browser(path)) return;
  if (!quiet) print_message(fmt::format("ocelli: no browser to show it in: {}", path));
}

}  // namespace ocelli::cli
