#include "ocelli/engine/search.h"

#include <algorithm>
#include <filesystem>

#include "ocelli/data/inputs.h"
#include "ocelli/formats/npy.h"
#include "ocelli/index/dot.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

bool is_image(const std::string& query) {
  std::error_code ignored;
  return fs::is_regular_file(query, ignored) || has_image_extension(query);
}

// [1, D] of length 1.
Tensor embed_one(const OpenModel& opened, const std::string& query, const DecodeOptions& decode) {
  if (!is_image(query)) return embed_texts(opened, std::vector{query});
  const ImageEmbeddings images =
      embed_images(opened, {&query, 1}, {.batch = 1, .strict = true, .decode = decode});
  return images.rows;
}

Tensor unit(const Tensor& row, const std::string& what) {
  const auto values = row.values<float>();
  const bool some = std::ranges::any_of(values, [](float v) { return v != 0; });
  check(some && is_finite(row), "{}: no direction is left to search in", what);
  return normalize(row).select(0, 0);
}

// Joins hits that are alike.
class Folding {
 public:
  Folding(const ImageIndex& index, float threshold)
      : rows_(index.vectors()), threshold_(threshold) {}

  void add(FoundImage found, RowId row, std::vector<FoundImage>& kept) {
    std::vector<float> wide(rows_.width);
    widen(rows_.row(row), rows_.width, wide.data());
    std::vector<float> scores(kept_rows_.size());
    dot_rows(wide.data(), rows_, kept_rows_, scores.data());
    for (size_t i = 0; i < kept.size(); ++i) {
      if (scores[i] < threshold_ && kept[i].image.sha256 != found.image.sha256) continue;
      kept[i].folded.push_back(found.image.path);
      return;
    }
    kept_rows_.push_back(row);
    kept.push_back(std::move(found));
  }

 private:
  HalfRows rows_;
  float threshold_;
  std::vector<RowId> kept_rows_;
};

}  // namespace

Tensor embed_query(const OpenModel& opened, const Query& query, const DecodeOptions& decode) {
  Tensor sum = Tensor::zeros({1, opened.model->embedding_size()});
  for (const std::string& like : query.like) sum = sum + embed_one(opened, like, decode);
  for (const std::string& unlike : query.unlike) {
    sum = sum + embed_one(opened, unlike, decode) * -1.0f;
  }
  return unit(sum, "the query");
}

Tensor read_query(const std::string& file, int64_t width) {
  const Tensor vector = to(read_npy(file), DType::f32);
  check(vector.rank() >= 1 && vector.numel() == width && vector.size(-1) == width,
        "{}: is {}; the vectors of the index have {} numbers", file, vector.shape(), width);
  return unit(vector.view({1, width}), file);
}

std::vector<FoundImage> search_index(const ImageIndex& index, const Tensor& query,
                                     const SearchOptions& options) {
  ImageIndex::Search search = options.search;
  for (;; search.k *= 2) {
    const std::vector<Hit> hits = index.search(query, search);
    std::vector<FoundImage> found;
    Folding folding(index, options.fold.value_or(0));
    for (const Hit& hit : hits) {
      FoundImage image{index.catalogue().find_row(hit.row).value(), hit.score, {}};
      if (options.fold) {
        folding.add(std::move(image), hit.row, found);
      } else {
        found.push_back(std::move(image));
      }
    }
    const auto count = static_cast<int64_t>(found.size());
    const bool all = static_cast<int64_t>(hits.size()) < search.k;
    if (!options.fold || count >= options.search.k || all) {
      found.resize(std::min(count, options.search.k));
      return found;
    }
  }
}

}  // namespace ocelli
