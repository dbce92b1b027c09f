#include "ocelli/index/sqlite.h"

#include <sqlite3.h>

#include "ocelli/base/error.h"

namespace ocelli::sql {

void fail_with(sqlite3* connection, const std::string& file, int status) {
  const std::string what = connection ? sqlite3_errmsg(connection) : sqlite3_errstr(status);
  switch (status & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // a table or column that every catalogue has is not there
    case SQLITE_CONSTRAINT:
      fail(ErrorCode::corrupt_data, "{}: {}; 'ocelli index --verify' looks closer", file, what);
    case SQLITE_INTERRUPT: fail(ErrorCode::cancelled, "cancelled");
    case SQLITE_NOMEM: fail(ErrorCode::out_of_memory, "{}: {}", file, what);
    case SQLITE_MISUSE:
    case SQLITE_RANGE: fail(ErrorCode::internal, "{}: {}", file, what);
    default: fail(ErrorCode::io, "{}: {}", file, what);
  }
}

Database::Database(const std::filesystem::path& file, Access access)
    : file_(file.string()), connection_(nullptr, sqlite3_close) {
  std::error_code error;
  if (access != Access::create && !std::filesystem::exists(file, error)) {
    fail(ErrorCode::not_found, "{}: there is no such catalogue", file_);
  }
  const int flags = access == Access::read    ? SQLITE_OPEN_READONLY
                    : access == Access::write ? SQLITE_OPEN_READWRITE
                                              : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* connection = nullptr;
  const int status = sqlite3_open_v2(file.c_str(), &connection, flags, nullptr);
  connection_.reset(connection);
  if (status != SQLITE_OK) fail_with(connection, file_, status);
  sqlite3_busy_timeout(connection, 10000);
  if (access == Access::read) recover(file);
  // "name" is a column or an error, never a string.
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
}

// What a killed writer has left half done is undone by whoever opens the file next; that takes the
// right to write.
void Database::recover(const std::filesystem::path& file) const {
  constexpr char kLook[] = "SELECT 1 FROM sqlite_schema";
  const int status = sqlite3_exec(connection_.get(), kLook, nullptr, nullptr, nullptr);
  if ((status & 0xff) == SQLITE_READONLY) Database(file, Access::write).execute(kLook);
}

void Database::execute(const std::string& text) const {
  const int status = sqlite3_exec(connection_.get(), text.c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) fail_with(connection_.get(), file_, status);
}

Statement::Statement(const Database& database, std::string_view text)
    : connection_(database.connection()),
      file_(database.file()),
      statement_(nullptr, sqlite3_finalize) {
  sqlite3_stmt* statement = nullptr;
  const int status = sqlite3_prepare_v2(connection_, text.data(), static_cast<int>(text.size()),
                                        &statement, nullptr);
  statement_.reset(statement);
  expect_ok(status);
}

Statement& Statement::bind(int place, std::string_view value) {
  expect_ok(sqlite3_bind_text(statement_.get(), place, value.data(), static_cast<int>(value.size()),
                              SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind(int place, double value) {
  expect_ok(sqlite3_bind_double(statement_.get(), place, value));
  return *this;
}

Statement& Statement::bind_number(int place, int64_t value) {
  expect_ok(sqlite3_bind_int64(statement_.get(), place, value));
  return *this;
}

Statement& Statement::bind_null(int place) {
  expect_ok(sqlite3_bind_null(statement_.get(), place));
  return *this;
}

bool Statement::step() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status != SQLITE_DONE) fail_with(connection_, file_, status);
  return false;
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data ? std::string(data, size) : std::string();
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

void Statement::expect_ok(int status) const {
  if (status != SQLITE_OK) fail_with(connection_, file_, status);
}

}  // namespace ocelli::sql
