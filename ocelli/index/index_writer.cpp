#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/index/image_index.h"
#include "ocelli/index/index_folder.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace index_folder {
namespace {

constexpr char kFormatLine[] = "ocelli index 1\n";

}  // namespace

fs::path vectors(const fs::path& folder, int64_t generation) {
  return folder / (kVectors + std::to_string(generation));
}

void check_format(const fs::path& folder) {
  if (!is_index(folder)) fail(ErrorCode::not_found, "{}: is no index", folder.string());
  const std::string format = read_file(folder / kFormat, 4096);
  if (format == kFormatLine) return;
  const bool index = format.starts_with("ocelli index ");
  fail(index ? ErrorCode::unsupported : ErrorCode::corrupt_data, "{}: {}",
       (folder / kFormat).string(),
       index ? "an index of another version; make it anew, or use the Ocelli that made it"
             : "does not say 'ocelli index 1'");
}

namespace {

// Empty, or what a writer leaves that is killed before it has written its first file.
bool is_unwritten(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return false;
  const std::string half = std::string(kFormat) + ".tmp-";
  return std::ranges::all_of(fs::directory_iterator(folder), [&](const fs::directory_entry& e) {
    return e.path().filename().string().starts_with(half);
  });
}

}  // namespace

void make_format(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !is_index(folder)) {
    check(is_unwritten(folder), "{}: exists and is no index; give another name with -o",
          folder.string());
    fs::remove_all(folder, error);
  }
  fs::create_directories(folder, error);
  if (error) {
    fail(ErrorCode::io, "{}: cannot be made: {}", folder.string(), error.message());
  }
  if (!is_index(folder)) write_file(folder / kFormat, kFormatLine);
  check_format(folder);
}

}  // namespace index_folder

namespace {

constexpr int64_t kSegment = 4096;  // rows that are checked together

// The system lets go of it when the process ends, however it ends.
int take_lock(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) fail(ErrorCode::io, "{}: cannot be written: {}", file.string(), std::strerror(errno));
  char holder[32] = {};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const bool known = ::read(fd, holder, sizeof holder - 1) > 0;
    ::close(fd);
    fail(ErrorCode::io, "{}: process {} is writing to this index; try again when it is done",
         file.parent_path().string(), known ? holder : "?");
  }
  const std::string own = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::write(fd, own.data(), own.size()) < 0) {
    ::close(fd);
    fail(ErrorCode::io, "{}: cannot be written: {}", file.string(), std::strerror(errno));
  }
  return fd;
}

}  // namespace

IndexWriter::IndexWriter(const fs::path& folder, const IndexState& state) : folder_(folder) {
  if (state.width > 0) index_folder::make_format(folder);
  index_folder::check_format(folder);
  lock_ = take_lock(folder / index_folder::kLock);
  try {
    catalogue_ =
        std::make_unique<Catalogue>(folder / index_folder::kCatalogue, sql::Access::create);
    state_ = catalogue_->state();
    const bool begun = state_.width > 0;
    if (!begun) state_ = state;
    if (state_.width == 0) {
      fail(ErrorCode::not_found, "{}: nothing was indexed yet", folder.string());
    }
    forget_leftovers();
    vectors_ = std::make_unique<VectorWriter>(vectors_folder(), state_.width);
    if (vectors_->rows() < state_.rows) {
      fail(ErrorCode::corrupt_data, "{}: has {} rows; the catalogue names {}",
           vectors_folder().string(), vectors_->rows(), state_.rows);
    }
    vectors_->truncate(state_.rows);
    if (!begun) {
      change();
      commit();
    }
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

IndexWriter::~IndexWriter() {
  catalogue_.reset();
  ::close(lock_);
}

fs::path IndexWriter::vectors_folder() const {
  return index_folder::vectors(folder_, state_.generation);
}

// A compaction that was killed leaves a folder of vectors that nobody names.
void IndexWriter::forget_leftovers() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const bool vectors = entry.path().filename().string().starts_with(index_folder::kVectors);
    if (vectors && entry.path() != vectors_folder()) fs::remove_all(entry.path(), ignored);
  }
}

void IndexWriter::change() {
  if (!changed_) catalogue_->begin();
  changed_ = true;
}

void IndexWriter::put(ImageRecord record, const float* vector) {
  change();
  if (vector) {
    record.row = static_cast<RowId>(vectors_->rows());
    vectors_->append(vector);
  }
  catalogue_->put(record);
}

void IndexWriter::remove(int64_t id) {
  change();
  catalogue_->remove(id);
}

bool IndexWriter::set_caption(const std::string& path, const std::string& caption) {
  change();
  return catalogue_->set_caption(path, caption);
}

void IndexWriter::commit() {
  if (!changed_) return;
  vectors_->commit();
  state_.rows = vectors_->rows();
  catalogue_->set_state(state_);
  catalogue_->commit();
  changed_ = false;
}

void IndexWriter::compact() {
  commit();
  const std::vector<RowId> live = catalogue_->rows();
  const fs::path old = vectors_folder();
  const int64_t generation = state_.generation + 1;
  auto fresh =
      std::make_unique<VectorWriter>(index_folder::vectors(folder_, generation), state_.width);
  {
    const VectorStore store(old);
    for (size_t i = 0; i < live.size(); ++i) {
      throw_if_cancelled();
      fresh->append(store.rows().slice(live[i], live[i] + 1));
      if (fresh->rows() % kSegment == 0) fresh->commit();
    }
    fresh->commit();
  }
  change();
  for (size_t to = 0; to < live.size(); ++to) {
    if (live[to] != to) catalogue_->move_row(live[to], static_cast<RowId>(to));
  }
  vectors_ = std::move(fresh);
  state_.generation = generation;
  commit();
  catalogue_->shrink();
  std::error_code ignored;
  fs::remove_all(old, ignored);
}

void IndexWriter::set_kind(IndexKind kind) {
  if (kind == state_.kind) return;
  change();
  state_.kind = kind;
}

bool IndexWriter::update_nearest(const Progress& progress) {
  commit();
  const fs::path file = vectors_folder() / index_folder::kNearest;
  const IndexKind kind = kind_for(state_.kind, state_.rows);
  std::error_code ignored;
  if (kind == IndexKind::flat || state_.rows == 0) {
    fs::remove(file, ignored);
    return false;
  }
  if (fs::exists(file, ignored)) {
    const auto before = open_nearest(file);
    const bool near = 10 * (state_.rows - before->rows()) <= state_.rows;
    if (before->kind() == kind && near) return false;
  }
  build_nearest(kind, VectorStore(vectors_folder()).rows(), file, progress);
  return true;
}

}  // namespace ocelli
