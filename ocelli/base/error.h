// The one exception of the library, and the one table that says what each boundary makes of it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ocelli {

enum class ErrorCode {
  invalid_argument,  // the caller asked for something that cannot be
  not_found,         // a file, tensor, model or label that is not there
  corrupt_data,      // foreign bytes that do not hold what their format promises
  unsupported,       // valid, but outside what Ocelli does
  out_of_memory,
  cancelled,
  io,        // the disk or the network refused
  internal,  // a defect of Ocelli
};

struct ErrorInfo {
  ErrorCode code;
  const char* name;
  int exit_status;     // of the program
  int http_status;     // of the server
  int c_code;          // of the C interface
  const char* python;  // exception type of the Python package
};

const ErrorInfo& error_info(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Throws invalid_argument unless `condition` holds.
template <typename... Args>
void check(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(ErrorCode::invalid_argument, format, std::forward<Args>(args)...);
}

}  // namespace ocelli
