#include "ocelli/engine/inputs.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <sstream>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/base/progress.h"

namespace ocelli {
namespace fs = std::filesystem;

bool has_image_extension(const fs::path& path) {
  static constexpr std::array kExtensions = {".jpg", ".jpeg", ".jpe", ".png",  ".webp",
                                             ".gif", ".bmp",  ".tif", ".tiff", ".pnm",
                                             ".ppm", ".pgm",  ".pbm"};
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return std::tolower(c); });
  return std::ranges::find(kExtensions, extension) != kExtensions.end();
}

namespace {

// Depth first in the order of the names. Each real folder is visited once, so a link back ends.
void list_folder(const fs::path& folder, std::set<fs::path>& seen,
                 std::vector<std::string>& images) {
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);
  if (error || !seen.insert(real).second) return;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) fail(ErrorCode::io, "{}: cannot be listed: {}", folder.string(), error.message());
  std::ranges::sort(entries);
  for (const fs::path& entry : entries) {
    if (fs::is_directory(entry, error)) {
      list_folder(entry, seen, images);
    } else if (has_image_extension(entry)) {
      images.push_back(entry.string());
    }
  }
}

void list_glob(const std::string& pattern, std::vector<std::string>& images) {
  glob_t found{};
  const int status = glob(pattern.c_str(), 0, nullptr, &found);
  for (size_t i = 0; status == 0 && i < found.gl_pathc; ++i) images.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  if (status != 0) fail(ErrorCode::not_found, "{}: no file matches", pattern);
}

void add_argument(const std::string& argument, std::vector<std::string>& images) {
  if (fs::is_directory(argument)) {
    const size_t before = images.size();
    std::set<fs::path> seen;
    list_folder(argument, seen, images);
    if (images.size() == before) {
      fail(ErrorCode::not_found,
           "{}: the folder holds no images (jpeg, png, webp, gif, bmp, tiff, pnm)", argument);
    }
  } else if (!fs::exists(argument) && argument.find_first_of("*?[") != std::string::npos) {
    list_glob(argument, images);
  } else {
    images.push_back(argument);
  }
}

}  // namespace

std::vector<std::string> list_images(std::span<const std::string> arguments,
                                     std::istream& standard_input) {
  std::vector<std::string> images;
  for (const std::string& argument : arguments) {
    if (argument != "-") {
      add_argument(argument, images);
      continue;
    }
    for (std::string line; std::getline(standard_input, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!line.empty()) add_argument(line, images);
    }
    throw_if_cancelled();
  }
  if (images.empty()) fail(ErrorCode::invalid_argument, "no images were given");
  return images;
}

std::vector<std::string> read_lines(const std::string& path, bool skip_blank) {
  std::istringstream text(read_file(path == "-" ? "/dev/stdin" : path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (skip_blank && line.find_first_not_of(" \t") == std::string::npos) continue;
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace ocelli
