// Pages that commands write.
#pragma once

#include <string>

#include "cli/common.h"

namespace ocelli::cli {

struct Page {
  std::string path;   // empty: none is asked for
  bool open = false;  // in the browser, once it is written
};

// --html FILE writes a page; --open FILE shows it, too.
void add_page(CLI::App& command, Page& page, const std::string& description);

// Starts the browser (xdg-open) when that is asked for; without a display or a browser, says where
// the page is unless `quiet`.
void show(const Page& page, bool quiet);

}  // namespace ocelli::cli
