// SQLite as this shelf uses it: connections and statements that clean up after themselves and
// throw. https://sqlite.org/c3ref/intro.html
#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace ocelli::sql {

class Database;

// One prepared statement; step() until it is false, then reset() to run it again.
class Statement {
 public:
  Statement(const Database& database, std::string_view text);

  // Places count from 1, as SQLite's.
  Statement& bind(int place, std::string_view value);
  Statement& bind(int place, std::integral auto value) {
    return bind_number(place, static_cast<int64_t>(value));
  }
  Statement& bind(int place, double value);
  template <typename T>
  Statement& bind(int place, const std::optional<T>& value) {
    return value ? bind(place, *value) : bind_null(place);
  }

  bool step();  // true while there is a row
  void run();   // to the end, then reset

  // Columns count from 0. NULL is 0 or "".
  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;

  void reset();

 private:
  Statement& bind_number(int place, int64_t value);
  Statement& bind_null(int place);
  void expect_ok(int status) const;

  sqlite3* connection_;
  std::string file_;
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
};

enum class Access { read, write, create };

class Database {
 public:
  // Throws not_found, corrupt_data or io naming the file.
  Database(const std::filesystem::path& file, Access access);

  void execute(const std::string& text) const;
  sqlite3* connection() const { return connection_.get(); }
  const std::string& file() const { return file_; }

 private:
  void recover(const std::filesystem::path& file) const;

  std::string file_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> connection_;
};

// What a failed call on `connection` means: corrupt_data, io, out_of_memory or internal.
[[noreturn]] void fail_with(sqlite3* connection, const std::string& file, int status);

}  // namespace ocelli::sql
