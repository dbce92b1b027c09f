// The library never prints: what it has to say goes to one callback (none by default).
#pragma once

#include <functional>
#include <string>

namespace ocelli {

enum class LogLevel { info, warning };

using LogCallback = std::function<void(LogLevel, const std::string&)>;

void set_log_callback(LogCallback callback);
void log(LogLevel level, const std::string& message);

// Messages of this thread are dropped while it lives: for work that says again what was said.
class MuteLog {
 public:
  MuteLog();
  ~MuteLog();
  MuteLog(const MuteLog&) = delete;
  MuteLog& operator=(const MuteLog&) = delete;

 private:
  bool outer_;
};

}  // namespace ocelli
