// What a user means by a list of images.
#pragma once

#include <filesystem>
#include <istream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ocelli/image/decode.h"

namespace ocelli {

// The files that braces ("{000..007}.tar", "{a,b}.jpg") and patterns in a name stand for; a name
// that a file has, or without any, stands for itself. Throws not_found for a pattern that matches
// nothing.
std::vector<std::string> expand_names(const std::string& name);

// Files as they are, folders recursively (sorted, files with an image's extension, links followed
// once), tar archives (but not those in folders) as the images in them, "shard.tar/key.jpg", what
// expand_names() makes of braces and patterns, and `-`: one name a line from `standard_input`. A
// named file that is missing stays in the list, so that it is reported like one that cannot be
// decoded; so does an archive that is cut off, after its good images. Throws not_found for a folder
// without images and for a glob that matches nothing.
std::vector<std::string> list_images(std::span<const std::string> arguments,
                                     std::istream& standard_input);

// The bytes of what list_images() named: of a file, or of a member of an archive. Throws what
// read_file() and TarArchive throw.
std::string read_input(const std::string& path, size_t limit = size_t{1} << 30);
Image decode_input(const std::string& path, const DecodeOptions& options = {});

// What stands beside an image under the same key: "a/b.jpg" and ".txt" give what is in a/b.txt, or
// nothing when there is no such file. Archives are webdataset's shards.
std::optional<std::string> read_beside(const std::string& path, std::string_view extension);

// Size in bytes and time of the last change in nanoseconds (that of the archive). Nothing, with
// errno, where there is no such file; throws what TarArchive throws.
struct InputFacts {
  int64_t bytes = 0, time = 0;
};
std::optional<InputFacts> input_facts(const std::string& path);

// The name ends like an image's.
bool has_image_extension(const std::filesystem::path& path);

// The lines of a text file (`-`: of standard input) without their line ends; blank lines are kept
// unless `skip_blank`.
std::vector<std::string> read_lines(const std::string& path, bool skip_blank);

}  // namespace ocelli
