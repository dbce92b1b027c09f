// What goes into a curated set: images, and captions where they are known.
#pragma once

#include <istream>
#include <span>
#include <string>
#include <vector>

namespace ocelli {

struct Source {
  std::string path;
  std::string caption = {};
};

// What list_images() lists, and tables that end in .csv, .tsv or .jsonl. A line of .jsonl is a name
// or an object {"path", "caption"}. The first line of the others names the columns path and caption
// (image, file, ...; text, title, ...), or is an image of its own: its first field, then the
// caption. Names are relative to the table. An image that comes again is left out. Throws
// corrupt_data naming the line.
std::vector<Source> list_sources(std::span<const std::string> arguments,
                                 std::istream& standard_input);

}  // namespace ocelli
