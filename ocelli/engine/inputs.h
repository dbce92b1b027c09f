// What a user means by a list of images.
#pragma once

#include <filesystem>
#include <istream>
#include <span>
#include <string>
#include <vector>

namespace ocelli {

// Files as they are, folders recursively (sorted, files with an image's extension, links followed
// once), globs, and `-`: one name a line from `standard_input`. A named file that is missing stays
// in the list, so that it is reported like one that cannot be decoded. Throws not_found for a
// folder without images and for a glob that matches nothing.
std::vector<std::string> list_images(std::span<const std::string> arguments,
                                     std::istream& standard_input);

// The name ends like an image's.
bool has_image_extension(const std::filesystem::path& path);

// The lines of a text file (`-`: of standard input) without their line ends; blank lines are kept
// unless `skip_blank`.
std::vector<std::string> read_lines(const std::string& path, bool skip_blank);

}  // namespace ocelli
