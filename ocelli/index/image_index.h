// An index of images: their vectors, a catalogue of what is known of them, and what finds near
// ones.
//
// FOLDER/format              "ocelli index 1"
// FOLDER/catalogue.sqlite    the images, and which vectors are theirs (catalogue.h)
// FOLDER/vectors-N/          the vectors (vector_store.h); N counts compactions
// FOLDER/vectors-N/nearest   HNSW or IVF-PQ of the first rows (nearest.h), where there are many
// FOLDER/lock                held by the writer
//
// Vectors are committed before the catalogue's lines that name them. What a killed writer leaves
// is vectors without a line; the next writer cuts them off.
#pragma once

#include "ocelli/index/catalogue.h"
#include "ocelli/index/nearest.h"
#include "ocelli/index/vector_store.h"

namespace ocelli {

bool is_index(const std::filesystem::path& folder);

// What an index was made with; nothing where there is none, or nothing in it yet.
std::optional<IndexState> find_state(const std::filesystem::path& folder);

// An index as it was committed when it was opened; a writer may go on meanwhile.
class ImageIndex {
 public:
  // Throws not_found for what is no index, corrupt_data naming the file.
  explicit ImageIndex(const std::filesystem::path& folder);

  const Catalogue& catalogue() const { return *catalogue_; }
  const IndexState& state() const { return state_; }
  // Vectors of length 1, those of removed images included.
  HalfRows vectors() const { return store_->rows().slice(0, state_.rows); }
  // What searches go by, and how many of the vectors are in it.
  IndexKind kind() const { return nearest_ ? nearest_->kind() : IndexKind::flat; }
  const NearestRows* nearest() const { return nearest_.get(); }
  int64_t covered() const { return nearest_ ? nearest_->rows() : 0; }

  struct Search {
    int64_t k = 20;
    std::string where = {};  // an SQL expression; only images that it holds for are looked at
    bool exact = false;      // every vector is looked at
    int64_t effort = 256;    // see NearestRows::search
  };
  // The k images nearest to `query` [D] of length 1, best first: k where the index has as many.
  std::vector<Hit> search(const Tensor& query, const Search& options) const;

 private:
  std::vector<Hit> search_nearest(const Tensor& query, const Search& options) const;

  std::unique_ptr<Catalogue> catalogue_;
  IndexState state_;
  std::unique_ptr<VectorStore> store_;
  std::unique_ptr<NearestRows> nearest_;
  std::optional<std::vector<RowId>> live_;  // where there are removed ones
};

// The one writer. Throws io, naming the process that writes, when there is another.
class IndexWriter {
 public:
  // Opens an index, or makes one as `state` says when there is none. Throws invalid_argument for a
  // folder that holds something else.
  IndexWriter(const std::filesystem::path& folder, const IndexState& state);
  explicit IndexWriter(const std::filesystem::path& folder) : IndexWriter(folder, {}) {}
  ~IndexWriter();
  IndexWriter(const IndexWriter&) = delete;
  IndexWriter& operator=(const IndexWriter&) = delete;

  const Catalogue& catalogue() const { return *catalogue_; }
  const IndexState& state() const { return state_; }

  // Become visible with commit(). `vector` is f32 [D]; without one the record keeps its row.
  void put(ImageRecord record, const float* vector);
  void remove(int64_t id);
  bool set_caption(const std::string& path, const std::string& caption);
  void commit();

  // Leaves out the vectors of removed images; readers go on with what they have open.
  void compact();
  // Becomes visible with commit(), and true with update_nearest().
  void set_kind(IndexKind kind);
  // Builds what the index's kind asks for when it is not there or lacks more than a tenth of the
  // rows; until then those are looked through. True when it was built.
  bool update_nearest(const Progress& progress);

 private:
  std::filesystem::path vectors_folder() const;
  void change();
  void forget_leftovers() const;

  std::filesystem::path folder_;
  int lock_ = -1;
  std::unique_ptr<Catalogue> catalogue_;
  IndexState state_;
  std::unique_ptr<VectorWriter> vectors_;
  bool changed_ = false;
};

// Reads everything. What is wrong, a line each, naming files and images; nothing when all is well.
std::vector<std::string> verify_index(const std::filesystem::path& folder);

}  // namespace ocelli
