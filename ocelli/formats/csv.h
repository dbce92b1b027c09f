// Tables of text: RFC 4180 with commas, and the kindred forms that caption files come in, with tabs
// or bars.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

using CsvRow = std::vector<std::string>;

// The first line tells the separator: a tab, a bar, else a comma. Fields lose the blanks around
// them, blank lines are left out. Quoted fields may hold separators, and line breaks between
// commas. Throws corrupt_data naming `file` and the line of a quote that is not closed.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& file);
std::vector<CsvRow> read_csv(const std::filesystem::path& path);

// A line, its fields between commas and quoted where they must be.
std::string csv_line(const CsvRow& fields);

}  // namespace ocelli
