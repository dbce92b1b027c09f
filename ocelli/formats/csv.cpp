#include "ocelli/formats/csv.h"

#include <algorithm>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli {
namespace {

char separator_of(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  for (const char c : {'\t', '|'}) {
    if (line.find(c) != line.npos) return c;
  }
  return ',';
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  return begin == text.npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& file)
      : text_(text), separator_(separator_of(text)), file_(file) {}

  std::vector<CsvRow> operator()() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row = {field()};
      while (at_ < text_.size() && text_[at_] == separator_) {
        ++at_;
        row.push_back(field());
      }
      ++at_;  // the end of the line
      if (row.size() > 1 || !row[0].empty()) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  // Up to the separator or the end of the line, which is left.
  std::string field() {
    const size_t start = std::min(text_.find_first_not_of(' ', at_), text_.size());
    if (start < text_.size() && text_[start] == '"') {
      if (const size_t end = quoted_end(start); end != text_.npos) return unquoted(start, end);
    }
    const char stops[] = {separator_, '\n', '\0'};
    const size_t end = std::min(text_.find_first_of(stops, at_), text_.size());
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end;
    return std::string(trimmed(found));
  }

  // Where the closing quote stands. Files with tabs or bars often do not quote: there a quote that
  // is not closed before the field's end is a character like others.
  size_t quoted_end(size_t start) const {
    for (size_t i = start + 1; i < text_.size(); ++i) {
      if (text_[i] == '\n' && separator_ != ',') return text_.npos;
      if (text_[i] != '"') continue;
      if (i + 1 < text_.size() && text_[i + 1] == '"') {
        ++i;
        continue;
      }
      const size_t next = std::min(text_.find_first_not_of(" \r", i + 1), text_.size());
      if (next == text_.size() || text_[next] == '\n' || text_[next] == separator_) return i;
      if (separator_ != ',') return text_.npos;
    }
    if (separator_ != ',') return text_.npos;
    fail(ErrorCode::corrupt_data, "{}: line {}: the quote is not closed", file_,
         1 + std::ranges::count(text_.substr(0, start), '\n'));
  }

  std::string unquoted(size_t start, size_t end) {
    std::string value;
    for (size_t i = start + 1; i < end; ++i) {
      value += text_[i];
      if (text_[i] == '"') ++i;
    }
    at_ = std::min(text_.find_first_not_of(" \r", end + 1), text_.size());
    return value;
  }

  std::string_view text_;
  char separator_;
  const std::string& file_;
  size_t at_ = 0;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& file) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return Parser(text, file)();
}

std::vector<CsvRow> read_csv(const std::filesystem::path& path) {
  return parse_csv(read_file(path), path.string());
}

std::string csv_line(const CsvRow& fields) {
  std::string line;
  for (const std::string& field : fields) {
    if (&field != &fields.front()) line += ',';
    const bool quoted = field.find_first_of(",\"\r\n") != field.npos;
    if (quoted) line += '"';
    for (const char c : field) {
      line += c;
      if (c == '"') line += c;
    }
    if (quoted) line += '"';
  }
  return line + '\n';
}

}  // namespace ocelli
