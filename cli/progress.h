// The standard error stream: a progress bar on a terminal, and messages that do not run into it.
#pragma once

#include <string>

#include "ocelli/base/progress.h"

namespace ocelli::cli {

enum class Unit { items, bytes };

// Draws "what  [====>    ] 120/600  21.3/s  0:22 left" over itself on standard error; nothing when
// that is no terminal.
Progress progress_bar(const std::string& what, Unit unit = Unit::items);

// A line on standard error; a bar that is drawn there gives way.
void print_message(const std::string& message);

// Before something is printed on standard output, which may be the same terminal.
void hide_progress_bar();

}  // namespace ocelli::cli
