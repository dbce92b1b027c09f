#include "ocelli/engine/match.h"

#include "ocelli/base/file.h"
#include "ocelli/formats/csv.h"

namespace ocelli {

Match match(const OpenModel& opened, std::span<const std::string> paths,
            std::vector<std::string> texts, const RunOptions& options,
            const Progress& text_progress) {
  const Tensor text_rows = embed_texts(opened, texts, text_progress);
  ImageEmbeddings images = embed_images(opened, paths, options);
  Match result;
  result.texts = std::move(texts);
  for (const int64_t i : images.images) result.images.push_back(paths[i]);
  result.similarity = matmul(images.rows, text_rows.transpose(0, 1));
  result.errors = std::move(images.errors);
  return result;
}

void write_match_csv(const std::string& path, const Match& match, const Tensor& values) {
  AtomicFile file(path);
  CsvRow row = {"path"};
  row.insert(row.end(), match.texts.begin(), match.texts.end());
  file.write(csv_line(row));
  for (size_t i = 0; i < match.images.size(); ++i) {
    row = {match.images[i]};
    for (const float value : values.select(0, static_cast<int64_t>(i)).values<float>()) {
      row.push_back(fmt::format("{:.6f}", value));
    }
    file.write(csv_line(row));
  }
  file.commit();
}

}  // namespace ocelli
