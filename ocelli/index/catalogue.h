// What is known of each image of an index, in SQLite: one table, `images`, that `--where` asks.
//
// The file is in WAL mode: readers see the last commit and never wait for the writer.
#pragma once

#include <functional>
#include <vector>

#include "ocelli/index/nearest.h"
#include "ocelli/index/sqlite.h"

namespace ocelli {

// A line of the table. `path` is absolute, in the bytes of the file system.
struct ImageRecord {
  int64_t id = 0;  // never given to another image
  std::string path;
  std::string folder;           // below the folder that was indexed; "" in the folder itself
  std::string name;             // of the file
  int64_t size = 0, mtime = 0;  // bytes, nanoseconds since 1970
  std::string sha256;           // of the file
  int64_t width = 0, height = 0;
  std::string taken;  // EXIF's time, "2024-05-01 12:30:00"; "" where there is none
  std::optional<double> latitude, longitude;
  std::optional<std::string> caption;
  std::string error;         // why there is no vector
  std::optional<RowId> row;  // its vector
};

// Which vectors belong to the table, and of which model they are.
struct IndexState {
  std::string model;        // as `-m` takes it
  std::string fingerprint;  // of the model's weights and input size
  std::string size;         // of images, where it is not the model's own
  int64_t width = 0;        // numbers of a vector
  int64_t generation = 1;   // of the folder with the vectors
  IndexKind kind = IndexKind::automatic;
  int64_t rows = 0;  // vectors that are committed, those of removed images included
};

class Catalogue {
 public:
  // With Access::create a new table is made. Throws corrupt_data for another version.
  Catalogue(const std::filesystem::path& file, sql::Access access);

  IndexState state() const;
  void set_state(const IndexState& state);

  int64_t count() const;   // images with a vector
  int64_t failed() const;  // and without
  // All images in the order of their ids.
  void for_each(const std::function<void(const ImageRecord&)>& visit) const;
  std::optional<ImageRecord> find_row(RowId row) const;
  std::optional<ImageRecord> find_path(const std::string& path) const;
  // The rows of all images, sorted; with `where`, an SQL expression on the columns, of those that
  // it holds for. Throws invalid_argument for what is no single expression.
  std::vector<RowId> rows() const;
  std::vector<RowId> rows_where(const std::string& expression) const;

  // Changes are visible to others after commit().
  void begin();
  void commit();
  // A new image where id is 0. The id it has.
  int64_t put(const ImageRecord& record);
  void remove(int64_t id);
  // False when there is no such image.
  bool set_caption(const std::string& path, const std::string& caption);
  // A vector has another place now; none may be there.
  void move_row(RowId from, RowId to);
  // Gives space back to the system; outside of begin() and commit().
  void shrink();

  // What is wrong with the file and its records, a line each; nothing when all is well.
  std::vector<std::string> problems() const;

 private:
  sql::Database database_;
};

}  // namespace ocelli
