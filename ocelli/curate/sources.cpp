#include "ocelli/curate/sources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "ocelli/base/error.h"
#include "ocelli/data/inputs.h"
#include "ocelli/formats/csv.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> kPaths = {"path",      "image",    "file", "file_name",
                                                    "file_path", "filename", "img"};
constexpr std::array<std::string_view, 5> kCaptions = {"caption", "text", "title", "comment",
                                                       "sentence"};

std::string beside(const std::string& table, const std::string& name) {
  return (fs::path(table).parent_path() / name).string();
}

std::vector<Source> read_jsonl(const std::string& table) {
  std::vector<Source> sources;
  const std::vector<std::string> lines = read_lines(table, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find_first_not_of(" \t") == std::string::npos) continue;
    const auto line = nlohmann::json::parse(lines[i], nullptr, false);
    const auto text = [&](auto& keys) -> std::string {
      for (const std::string_view key : keys) {
        const auto found = line.find(key);
        if (found != line.end() && found->is_string()) return *found;
      }
      return "";
    };
    Source source;
    if (line.is_string()) source.path = line.get<std::string>();
    if (line.is_object()) source = {text(kPaths), text(kCaptions)};
    if (source.path.empty()) {
      fail(ErrorCode::corrupt_data,
           "{}: line {} is no image: a name or {{\"path\", \"caption\"}} is needed", table, i + 1);
    }
    source.path = beside(table, source.path);
    sources.push_back(std::move(source));
  }
  return sources;
}

std::vector<Source> read_table(const std::string& table) {
  const std::vector<CsvRow> rows = read_csv(table);
  check(!rows.empty(), "{}: the table is empty", table);
  const auto column = [&](auto& names) -> size_t {
    const auto named = [&](const std::string& field) {
      return std::ranges::find(names, field) != names.end();
    };
    return static_cast<size_t>(std::ranges::find_if(rows[0], named) - rows[0].begin());
  };
  size_t path = column(kPaths), caption = column(kCaptions);
  const bool header = path < rows[0].size();
  if (!header) {
    path = 0;
    caption = 1;
  }
  std::vector<Source> sources;
  for (size_t i = header ? 1 : 0; i < rows.size(); ++i) {
    if (rows[i].size() <= path || rows[i][path].empty()) {
      fail(ErrorCode::corrupt_data, "{}: row {} names no image", table, i + 1);
    }
    sources.push_back({beside(table, rows[i][path]),
                       caption < rows[i].size() ? rows[i][caption] : std::string()});
  }
  return sources;
}

}  // namespace

std::vector<Source> list_sources(std::span<const std::string> arguments,
                                 std::istream& standard_input) {
  std::vector<Source> sources;
  std::set<std::string> seen;
  const auto add = [&](Source source) {
    if (seen.insert(source.path).second) sources.push_back(std::move(source));
  };
  for (const std::string& argument : arguments) {
    const std::string extension = fs::path(argument).extension().string();
    const bool table = extension == ".csv" || extension == ".tsv" || extension == ".jsonl";
    if (!table || fs::is_directory(argument)) {
      for (std::string& path : list_images({&argument, 1}, standard_input)) add({std::move(path)});
    } else {
      for (Source& s : extension == ".jsonl" ? read_jsonl(argument) : read_table(argument)) {
        add(std::move(s));
      }
    }
  }
  check(!sources.empty(), "no images were given");
  return sources;
}

}  // namespace ocelli
