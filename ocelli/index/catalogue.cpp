#include "ocelli/index/catalogue.h"

#include <zlib.h>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"

namespace ocelli {
namespace {

constexpr int64_t kVersion = 1;
constexpr int64_t kApplication = 0x4f434c49;  // "OCLI", for file(1)

constexpr char kSchema[] = R"(
CREATE TABLE state (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE images (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  path TEXT NOT NULL UNIQUE, folder TEXT, name TEXT, size INTEGER, mtime INTEGER, sha256 TEXT,
  width INTEGER, height INTEGER, taken TEXT, latitude REAL, longitude REAL, caption TEXT,
  error TEXT, row INTEGER UNIQUE, model TEXT, revision TEXT,
  status TEXT GENERATED ALWAYS AS (CASE WHEN row IS NULL THEN 'failed' ELSE 'ok' END) VIRTUAL,
  crc INTEGER NOT NULL);
)";

constexpr char kSelect[] =
    "SELECT id, path, folder, name, size, mtime, sha256, width, height, taken, latitude, longitude,"
    " caption, error, row, crc FROM images ";

template <typename T>
std::optional<T> unless_null(const sql::Statement& s, int column, T value) {
  if (s.is_null(column)) return std::nullopt;
  return value;
}

ImageRecord record_of(const sql::Statement& s) {
  ImageRecord r;
  r.id = s.integer(0);
  r.path = s.text(1);
  r.folder = s.text(2);
  r.name = s.text(3);
  r.size = s.integer(4);
  r.mtime = s.integer(5);
  r.sha256 = s.text(6);
  r.width = s.integer(7);
  r.height = s.integer(8);
  r.taken = s.text(9);
  r.latitude = unless_null(s, 10, s.real(10));
  r.longitude = unless_null(s, 11, s.real(11));
  r.caption = unless_null(s, 12, s.text(12));
  r.error = s.text(13);
  r.row = unless_null(s, 14, static_cast<RowId>(s.integer(14)));
  return r;
}

// SQLite finds damaged pages by their structure only, so each record has a checksum. The row is
// not in it: compaction changes rows, and a row beyond the vectors is found without.
int64_t crc_of(const ImageRecord& r) {
  const std::string text =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", r.path, r.folder, r.name,
                  r.size, r.mtime, r.sha256, r.width, r.height, r.taken, r.latitude.value_or(0),
                  r.longitude.value_or(0), r.caption.value_or(""), r.error);
  return static_cast<int64_t>(crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

Catalogue::Catalogue(const std::filesystem::path& file, sql::Access access)
    : database_(file, access) {
  sql::Statement version(database_, "PRAGMA user_version");
  version.step();
  const int64_t found = version.integer(0);
  version.reset();
  if (found == 0 && access == sql::Access::create) {
    database_.execute("PRAGMA journal_mode = WAL");
    database_.execute(
        fmt::format("BEGIN IMMEDIATE;{}PRAGMA application_id = {}; "
                    "PRAGMA user_version = {}; COMMIT",
                    kSchema, kApplication, kVersion));
  } else if (found == 0) {
    fail(ErrorCode::not_found, "{}: nothing was indexed yet", database_.file());
  } else if (found != kVersion) {
    fail(ErrorCode::corrupt_data, "{}: a catalogue of version {}; this Ocelli reads version {}",
         database_.file(), found, kVersion);
  }
  // A commit survives a power cut, too.
  if (access != sql::Access::read) database_.execute("PRAGMA synchronous = FULL");
}

IndexState Catalogue::state() const {
  IndexState state;
  sql::Statement all(database_, "SELECT key, value FROM state");
  while (all.step()) {
    const std::string key = all.text(0);
    if (key == "model") state.model = all.text(1);
    if (key == "fingerprint") state.fingerprint = all.text(1);
    if (key == "size") state.size = all.text(1);
    if (key == "kind") state.kind = index_kind(all.text(1));
    if (key == "width") state.width = all.integer(1);
    if (key == "generation") state.generation = all.integer(1);
    if (key == "rows") state.rows = all.integer(1);
  }
  return state;
}

void Catalogue::set_state(const IndexState& state) {
  sql::Statement put(database_, "INSERT OR REPLACE INTO state VALUES (?, ?)");
  put.bind(1, "model").bind(2, state.model).run();
  put.bind(1, "fingerprint").bind(2, state.fingerprint).run();
  put.bind(1, "size").bind(2, state.size).run();
  put.bind(1, "kind").bind(2, kind_name(state.kind)).run();
  put.bind(1, "width").bind(2, state.width).run();
  put.bind(1, "generation").bind(2, state.generation).run();
  put.bind(1, "rows").bind(2, state.rows).run();
}

int64_t Catalogue::count() const {
  sql::Statement count(database_, "SELECT count(row) FROM images");
  count.step();
  return count.integer(0);
}

int64_t Catalogue::failed() const {
  sql::Statement count(database_, "SELECT count(*) - count(row) FROM images");
  count.step();
  return count.integer(0);
}

void Catalogue::for_each(const std::function<void(const ImageRecord&)>& visit) const {
  sql::Statement all(database_, std::string(kSelect) + "ORDER BY id");
  while (all.step()) visit(record_of(all));
}

std::optional<ImageRecord> Catalogue::find_row(RowId row) const {
  sql::Statement one(database_, std::string(kSelect) + "WHERE row = ?");
  if (!one.bind(1, row).step()) return std::nullopt;
  return record_of(one);
}

std::optional<ImageRecord> Catalogue::find_path(const std::string& path) const {
  sql::Statement one(database_, std::string(kSelect) + "WHERE path = ?");
  if (!one.bind(1, path).step()) return std::nullopt;
  return record_of(one);
}

std::vector<RowId> Catalogue::rows() const {
  std::vector<RowId> rows;
  sql::Statement all(database_, "SELECT row FROM images WHERE row IS NOT NULL ORDER BY row");
  while (all.step()) rows.push_back(static_cast<RowId>(all.integer(0)));
  return rows;
}

void Catalogue::begin() {
  database_.execute("BEGIN");
}

void Catalogue::commit() {
  database_.execute("COMMIT");
}

int64_t Catalogue::put(const ImageRecord& r) {
  static constexpr char kPut[] =
      "INSERT INTO images (id, path, folder, name, size, mtime, sha256, width, height, taken, "
      "latitude, longitude, caption, error, row, crc, model, revision) VALUES "
      "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
      "(SELECT value FROM state WHERE key = 'model'), "
      "(SELECT value FROM state WHERE key = 'fingerprint')) "
      "ON CONFLICT (id) DO UPDATE SET size = ?5, mtime = ?6, sha256 = ?7, width = ?8, height = ?9, "
      "taken = ?10, latitude = ?11, longitude = ?12, caption = ?13, error = ?14, row = ?15, "
      "crc = ?16 RETURNING id";
  sql::Statement put(database_, kPut);
  put.bind(1, r.id == 0 ? std::nullopt : std::optional(r.id));
  put.bind(2, r.path).bind(3, r.folder).bind(4, r.name).bind(5, r.size).bind(6, r.mtime);
  put.bind(7, unless_empty(r.sha256)).bind(8, r.width).bind(9, r.height);
  put.bind(10, unless_empty(r.taken)).bind(11, r.latitude).bind(12, r.longitude);
  put.bind(13, r.caption).bind(14, unless_empty(r.error)).bind(15, r.row).bind(16, crc_of(r));
  put.step();
  const int64_t id = put.integer(0);
  put.run();
  return id;
}

void Catalogue::remove(int64_t id) {
  sql::Statement(database_, "DELETE FROM images WHERE id = ?").bind(1, id).run();
}

bool Catalogue::set_caption(const std::string& path, const std::string& caption) {
  auto record = find_path(path);
  if (!record) return false;
  record->caption = caption;
  put(*record);
  return true;
}

void Catalogue::move_row(RowId from, RowId to) {
  sql::Statement(database_, "UPDATE images SET row = ? WHERE row = ?")
      .bind(1, to)
      .bind(2, from)
      .run();
}

void Catalogue::shrink() {
  database_.execute("VACUUM");
}

std::vector<std::string> Catalogue::problems() const {
  std::vector<std::string> lines;
  sql::Statement check(database_, "PRAGMA integrity_check");
  while (check.step()) {
    if (const std::string line = check.text(0); line != "ok") {
      lines.push_back(fmt::format("{}: {}", database_.file(), line));
    }
  }
  if (!lines.empty()) return lines;
  const IndexState now = state();
  sql::Statement all(database_, std::string(kSelect) + "ORDER BY id");
  while (all.step()) {
    throw_if_cancelled();
    const ImageRecord record = record_of(all);
    if (crc_of(record) != all.integer(15)) {
      lines.push_back(fmt::format("{}: the record of image {} ({}) is damaged", database_.file(),
                                  record.id, record.path));
    }
    if (record.row && static_cast<int64_t>(*record.row) >= now.rows) {
      lines.push_back(fmt::format("{}: image {} ({}) has row {} of {}", database_.file(), record.id,
                                  record.path, *record.row, now.rows));
    }
  }
  return lines;
}

}  // namespace ocelli
