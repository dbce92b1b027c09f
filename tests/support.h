// What tests of several shelves share.
#pragma once

#include <filesystem>
#include <string>

#include "ocelli/base/error.h"

namespace ocelli {

inline const std::filesystem::path kGoldens =
    std::filesystem::path(OCELLI_SOURCE_DIR) / "tests" / "goldens";

// What the Error says that `action` throws; empty where it throws none.
std::string complaint(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace ocelli
