// The library never prints: what it has to say goes to one callback (none by default).
#pragma once

#include <functional>
#include <string>

namespace ocelli {

enum class LogLevel { info, warning };

using LogCallback = std::function<void(LogLevel, const std::string&)>;

void set_log_callback(LogCallback callback);
void log(LogLevel level, const std::string& message);

}  // namespace ocelli
