#include "ocelli/data/inputs.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <sstream>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/base/progress.h"
#include "ocelli/formats/tar.h"

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

// A file, or the images in an archive.
void add_file(const std::string& path, std::vector<std::string>& images) {
  if (!has_tar_extension(path) || !fs::is_regular_file(path)) return images.push_back(path);
  const auto archive = TarArchive::open(path);
  const size_t before = images.size();
  for (const TarArchive::Member& member : archive->members()) {
    if (has_image_extension(member.name)) images.push_back(path + "/" + member.name);
  }
  if (archive->damage()) images.push_back(path);
  if (images.size() == before) {
    fail(ErrorCode::not_found, "{}: the archive holds no images", path);
  }
}

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

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// What stands between two braces: "000..007" (as many digits), "a,b"; nothing else is an
// alternative.
std::vector<std::string> alternatives(const std::string& inside) {
  constexpr int64_t kMost = 1'000'000;
  std::vector<std::string> all;
  const size_t dots = inside.find("..");
  if (dots != inside.npos) {
    const auto first = number(inside.substr(0, dots)), last = number(inside.substr(dots + 2));
    if (!first || !last || *last < *first || *last - *first > kMost) return {};
    for (int64_t i = *first; i <= *last; ++i) all.push_back(fmt::format("{:0{}}", i, dots));
  } else if (inside.find(',') != inside.npos) {
    for (size_t begin = 0; begin <= inside.size();) {
      const size_t end = std::min(inside.find(',', begin), inside.size());
      all.push_back(inside.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return all;
}

// The first pair of braces is written out; the names that come of it may have more.
std::vector<std::string> without_braces(const std::string& name) {
  const size_t open = name.find('{'), close = name.find('}', open == name.npos ? 0 : open);
  if (open == name.npos || close == name.npos) return {};
  std::vector<std::string> names;
  for (const std::string& middle : alternatives(name.substr(open + 1, close - open - 1))) {
    names.push_back(name.substr(0, open) + middle + name.substr(close + 1));
  }
  return names;
}

std::vector<std::string> matches(const std::string& pattern) {
  glob_t found{};
  const int status = glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> names(found.gl_pathv,
                                 found.gl_pathv + (status == 0 ? found.gl_pathc : 0));
  globfree(&found);
  if (status != 0) fail(ErrorCode::not_found, "{}: no file matches", pattern);
  return names;
}

void add_argument(const std::string& argument, std::vector<std::string>& images) {
  for (const std::string& name : expand_names(argument)) {
    if (!fs::is_directory(name)) {
      add_file(name, images);
      continue;
    }
    const size_t before = images.size();
    std::set<fs::path> seen;
    list_folder(name, seen, images);
    if (images.size() == before) {
      fail(ErrorCode::not_found,
           "{}: the folder holds no images (jpeg, png, webp, gif, bmp, tiff, pnm)", name);
    }
  }
}

}  // namespace

std::vector<std::string> expand_names(const std::string& name) {
  if (fs::exists(name)) return {name};
  std::vector<std::string> names;
  for (const std::string& part : without_braces(name)) {
    for (std::string& file : expand_names(part)) names.push_back(std::move(file));
  }
  if (!names.empty()) return names;
  if (name.find_first_of("*?[") != std::string::npos) return matches(name);
  return {name};
}

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

std::string read_input(const std::string& path, size_t limit) {
  if (const auto parts = split_tar_path(path)) {
    return TarArchive::open(parts->first)->read(parts->second, limit);
  }
  if (has_tar_extension(path)) {
    const auto archive = TarArchive::open(path);
    if (archive->damage()) throw *archive->damage();
  }
  return read_file(path, limit);
}

Image decode_input(const std::string& path, const DecodeOptions& options) {
  const std::string bytes = read_input(path);
  return decode_image(std::as_bytes(std::span(bytes)), path, options);
}

std::optional<std::string> read_beside(const std::string& path, std::string_view extension) {
  // webdataset's keys end at the first dot of the name.
  const size_t slash = path.rfind('/');
  const auto parts = split_tar_path(path);
  const size_t dot = parts ? path.find('.', slash == path.npos ? 0 : slash) : path.rfind('.');
  if (dot == path.npos) return std::nullopt;
  const std::string beside = path.substr(0, dot) + std::string(extension);
  if (!parts) {
    if (!fs::is_regular_file(beside)) return std::nullopt;
    return read_file(beside);
  }
  const auto archive = TarArchive::open(parts->first);
  const std::string name = beside.substr(parts->first.size() + 1);
  if (!archive->find(name)) return std::nullopt;
  return archive->read(name);
}

std::optional<InputFacts> input_facts(const std::string& path) {
  const auto parts = split_tar_path(path);
  struct stat status {};
  if (::stat(parts ? parts->first.c_str() : path.c_str(), &status) != 0) return std::nullopt;
  InputFacts facts{status.st_size,
                   int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
  if (!parts) return facts;
  const auto archive = TarArchive::open(parts->first);
  const TarArchive::Member* member = archive->find(parts->second);
  if (!member) {
    errno = ENOENT;
    return std::nullopt;
  }
  facts.bytes = member->size;
  return facts;
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
