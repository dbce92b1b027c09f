// `--where`: one SQL expression on the catalogue's columns, and nothing else that SQL can do.
#include <sqlite3.h>

#include <cstring>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"
#include "ocelli/index/catalogue.h"

namespace ocelli {
namespace {

constexpr char kColumns[] =
    "id, path, folder, name, size, mtime, sha256, width, height, taken, latitude, longitude, "
    "caption, model, revision, status, error";

// Where the quoted text that begins at `at` ends; npos when it does not.
size_t quoted_end(std::string_view text, size_t at) {
  const char closing = text[at] == '[' ? ']' : text[at];
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] != closing) continue;
    const bool doubled = closing != ']' && i + 1 < text.size() && text[i + 1] == closing;
    if (!doubled) return i;
    ++i;
  }
  return text.npos;
}

// An expression in parentheses stays in them: it closes none that it did not open, and no comment
// hides the one that follows.
void check_is_closed(std::string_view text) {
  const auto refuse = [&](const char* why) {
    fail(ErrorCode::invalid_argument, "--where {}: {}", text, why);
  };
  if (text.find_first_not_of(" \t\n\r") == text.npos) refuse("the expression is empty");
  if (text.find('\0') != text.npos) refuse("there is a zero byte in it");
  int64_t open = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::string_view two = text.substr(i, 2);
    if (c == '\'' || c == '"' || c == '`' || c == '[') {
      i = quoted_end(text, i);
      if (i == text.npos) return refuse("a quote is not closed");
    } else if (c == ';') {
      refuse("one expression is needed, without ';'");
    } else if (two == "--" || two == "/*") {
      refuse("comments are not possible");
    } else if (c == '(') {
      ++open;
    } else if (c == ')' && --open < 0) {
      refuse("a parenthesis closes that was not opened");
    }
  }
  if (open > 0) refuse("a parenthesis is not closed");
}

// Reading `images` and the functions that compute are allowed.
int authorize(void*, int action, const char* first, const char* second, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT: return SQLITE_OK;
    case SQLITE_READ: return std::strcmp(first, "images") == 0 ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION:
      return sqlite3_stricmp(second, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
  }
}

int stop_when_cancelled(void*) {
  return cancel_requested() ? 1 : 0;
}

// While it lives, a connection does what an expression may do.
class Guard {
 public:
  explicit Guard(sqlite3* connection) : connection_(connection) {
    sqlite3_set_authorizer(connection, authorize, nullptr);
    sqlite3_progress_handler(connection, 10000, stop_when_cancelled, nullptr);
    longest_ = sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, 1 << 20);
  }
  ~Guard() {
    sqlite3_limit(connection_, SQLITE_LIMIT_LENGTH, longest_);
    sqlite3_progress_handler(connection_, 0, nullptr, nullptr);
    sqlite3_set_authorizer(connection_, nullptr, nullptr);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  sqlite3* connection_;
  int longest_;
};

}  // namespace

std::vector<RowId> Catalogue::rows_where(const std::string& expression) const {
  check_is_closed(expression);
  sqlite3* connection = database_.connection();
  check(sqlite3_db_readonly(connection, "main") == 1, "--where: the catalogue is open for writing");
  const Guard guard(connection);
  const std::string text = fmt::format(
      "SELECT row FROM images WHERE row IS NOT NULL AND (\n{}\n) ORDER BY row", expression);
  sqlite3_stmt* prepared = nullptr;
  int status = sqlite3_prepare_v2(connection, text.c_str(), -1, &prepared, nullptr);
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared, sqlite3_finalize);
  std::vector<RowId> rows;
  while (status == SQLITE_OK || status == SQLITE_ROW) {
    status = sqlite3_step(prepared);
    if (status == SQLITE_ROW) rows.push_back(static_cast<RowId>(sqlite3_column_int64(prepared, 0)));
  }
  throw_if_cancelled();
  const int kind = status & 0xff;
  check(kind != SQLITE_ERROR && kind != SQLITE_AUTH && kind != SQLITE_TOOBIG,
        "--where {}: {}; the columns are {}", expression, sqlite3_errmsg(connection), kColumns);
  if (status != SQLITE_DONE) sql::fail_with(connection, database_.file(), status);
  return rows;
}

}  // namespace ocelli
