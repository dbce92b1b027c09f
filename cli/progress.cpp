#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

namespace ocelli::cli {
namespace {

std::mutex mutex;
bool drawn = false;

void erase() {
  if (drawn) std::fputs("\r\033[K", stderr);
  drawn = false;
}

int64_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string quantity(double n, Unit unit) {
  if (unit == Unit::items) return fmt::format("{:.0f}", n);
  return n < 1e9 ? fmt::format("{:.1f} MB", n / 1e6) : fmt::format("{:.2f} GB", n / 1e9);
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(std::min(seconds, 3.6e6) + 0.5);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

class Bar {
 public:
  Bar(std::string what, Unit unit) : what_(std::move(what)), unit_(unit) {}

  void operator()(int64_t done, int64_t total) {
    const auto now = Clock::now();
    std::lock_guard lock(mutex);
    if (start_ == Clock::time_point{}) {
      start_ = now;
      first_ = done;  // what was there already, say of a download, took no time
    }
    if (done == total && total > 0) {
      erase();
      std::fflush(stderr);
      return;
    }
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    draw(done, total, seconds > 0 ? static_cast<double>(done - first_) / seconds : 0);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void draw(int64_t done, int64_t total, double rate) {
    std::string numbers = quantity(static_cast<double>(done), unit_);
    if (total > 0) numbers += fmt::format("/{}", quantity(static_cast<double>(total), unit_));
    if (rate > 0) {
      numbers += unit_ == Unit::bytes ? fmt::format("  {}/s", quantity(rate, unit_))
                                      : fmt::format("  {:.1f}/s", rate);
      if (total > 0)
        numbers += fmt::format("  {} left", duration(static_cast<double>(total - done) / rate));
    }
    const int64_t room = terminal_width() - static_cast<int64_t>(what_.size() + numbers.size()) - 8;
    std::string line = what_ + "  ";
    if (total > 0 && room >= 8) {
      const int64_t width = std::min<int64_t>(room, 30), filled = width * done / total;
      line += fmt::format("[{:=<{}}>{:<{}}]  ", "", filled, "", width - filled);
    }
    line += numbers;
    line.resize(std::min<size_t>(line.size(), static_cast<size_t>(terminal_width() - 1)));
    erase();
    std::fputs(line.c_str(), stderr);
    std::fflush(stderr);
    drawn = true;
  }

  std::string what_;
  Unit unit_;
  int64_t first_ = 0;
  Clock::time_point start_{}, last_{};
};

}  // namespace

Progress progress_bar(const std::string& what, Unit unit) {
  const char* terminal = std::getenv("TERM");
  if (!isatty(STDERR_FILENO) || (terminal && std::string_view(terminal) == "dumb")) return {};
  return Bar(what, unit);
}

void print_message(const std::string& message) {
  std::lock_guard lock(mutex);
  erase();
  std::fputs((message + "\n").c_str(), stderr);
}

void hide_progress_bar() {
  std::lock_guard lock(mutex);
  erase();
  std::fflush(stderr);
}

}  // namespace ocelli::cli
