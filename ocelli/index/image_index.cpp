#include "ocelli/index/image_index.h"

#include <algorithm>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/index_folder.h"

namespace ocelli {
namespace fs = std::filesystem;

bool is_index(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / index_folder::kFormat, ignored);
}

std::optional<IndexState> find_state(const fs::path& folder) {
  try {
    const IndexState state =
        Catalogue(folder / index_folder::kCatalogue, sql::Access::read).state();
    return state.width > 0 ? std::optional(state) : std::nullopt;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_found) throw;
    return std::nullopt;
  }
}

ImageIndex::ImageIndex(const fs::path& folder) {
  index_folder::check_format(folder);
  for (int attempt = 0; !store_; ++attempt) {
    catalogue_ = std::make_unique<Catalogue>(folder / index_folder::kCatalogue, sql::Access::read);
    catalogue_->begin();  // one state from here on
    state_ = catalogue_->state();
    if (state_.width == 0) {
      fail(ErrorCode::not_found, "{}: nothing was indexed yet", folder.string());
    }
    try {
      store_ = std::make_unique<VectorStore>(index_folder::vectors(folder, state_.generation));
    } catch (const Error& error) {
      // A compaction that ended in between took the folder away.
      if (error.code() != ErrorCode::not_found || attempt == 3) throw;
    }
  }
  if (store_->rows().count < state_.rows || store_->rows().width != state_.width) {
    fail(ErrorCode::corrupt_data, "{}: has {} rows of {}; the catalogue names {} of {}",
         store_->file().string(), store_->rows().count, store_->rows().width, state_.rows,
         state_.width);
  }
  const fs::path file = index_folder::vectors(folder, state_.generation) / index_folder::kNearest;
  if (std::error_code ignored; fs::exists(file, ignored)) {
    nearest_ = open_nearest(file);
    // One that is newer than this state reaches beyond its vectors.
    if (nearest_->rows() > state_.rows) nearest_.reset();
  }
  if (catalogue_->count() < state_.rows) live_ = catalogue_->rows();
}

std::vector<Hit> ImageIndex::search(const Tensor& query, const Search& options) const {
  check(options.k >= 1, "-k {}: at least 1 is needed", options.k);
  if (!options.where.empty()) {
    const std::vector<RowId> among = catalogue_->rows_where(options.where);
    return search_exact(query.unsqueeze(0), vectors(), options.k, among)[0];
  }
  if (nearest_ && !options.exact) {
    std::vector<Hit> hits = search_nearest(query, options);
    if (static_cast<int64_t>(hits.size()) == options.k) return hits;
  }
  return search_exact(query.unsqueeze(0), vectors(), options.k, live_)[0];
}

// By the graph or the codes, and by looking through the rows that came after them; fewer than k
// hits when too many of those found were removed.
std::vector<Hit> ImageIndex::search_nearest(const Tensor& query, const Search& options) const {
  const int64_t wanted = live_ ? 2 * options.k : options.k;
  std::vector<Hit> hits = nearest_->search(query.data<float>(), vectors(), wanted,
                                           std::max(options.effort, 2 * wanted));
  const HalfRows rest = vectors().slice(nearest_->rows(), state_.rows);
  const std::vector<Hit> others = search_exact(query.unsqueeze(0), rest, wanted)[0];
  for (const Hit& hit : others) {
    hits.push_back({hit.score, hit.row + static_cast<RowId>(nearest_->rows())});
  }
  if (live_) {
    std::erase_if(hits,
                  [&](const Hit& hit) { return !std::ranges::binary_search(*live_, hit.row); });
  }
  std::ranges::sort(hits, better);
  hits.resize(std::min<size_t>(hits.size(), static_cast<size_t>(options.k)));
  return hits;
}

namespace {

// The images whose vectors are in a segment.
std::string images_of(const Catalogue& catalogue, const Segment& segment) {
  const std::vector<RowId> rows = catalogue.rows();
  const auto first = std::ranges::lower_bound(rows, static_cast<RowId>(segment.first));
  const auto last =
      std::ranges::lower_bound(rows, static_cast<RowId>(segment.first + segment.count));
  if (first == last) return "no image";
  const auto path = [&](RowId row) { return catalogue.find_row(row)->path; };
  return fmt::format("{} images, {} to {}", last - first, path(*first), path(*(last - 1)));
}

// Adds what `look` finds, and what it throws.
template <typename Look>
void collect(std::vector<std::string>& lines, Look look) {
  try {
    for (std::string& line : look()) lines.push_back(std::move(line));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    lines.emplace_back(error.what());
  }
}

}  // namespace

std::vector<std::string> verify_index(const fs::path& folder) {
  using Lines = std::vector<std::string>;
  index_folder::check_format(folder);
  Lines lines;
  collect(lines, [&] {
    return Catalogue(folder / index_folder::kCatalogue, sql::Access::read).problems();
  });
  if (!lines.empty()) return lines;
  const Catalogue catalogue(folder / index_folder::kCatalogue, sql::Access::read);
  const fs::path vectors = index_folder::vectors(folder, catalogue.state().generation);
  collect(lines, [&] {
    Lines found;
    const VectorStore store(vectors);
    for (const Segment& segment : store.damaged()) {
      found.push_back(fmt::format("{}: rows {} to {} are damaged ({})", store.file().string(),
                                  segment.first, segment.first + segment.count - 1,
                                  images_of(catalogue, segment)));
    }
    return found;
  });
  collect(lines, [&]() -> Lines {
    const fs::path file = vectors / index_folder::kNearest;
    if (!fs::exists(file) || open_nearest(file)->intact()) return {};
    return {fmt::format("{}: is damaged; 'ocelli index --compact' makes it anew", file.string())};
  });
  if (lines.empty()) collect(lines, [&] { return ImageIndex(folder), Lines(); });
  return lines;
}

}  // namespace ocelli
