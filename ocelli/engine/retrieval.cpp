#include "ocelli/engine/retrieval.h"

#include "ocelli/engine/prompts.h"

namespace ocelli {

Retrieval evaluate_retrieval(const OpenModel& opened, const CaptionedImages& data,
                             const std::vector<std::string>& templates, const RunOptions& options,
                             const Progress& text_progress) {
  check_has_text(opened);
  const ImageEmbeddings images = embed_images(opened, data.paths, options);
  std::vector<int64_t> row_of(data.paths.size(), -1);
  for (size_t row = 0; row < images.images.size(); ++row) row_of[images.images[row]] = row;
  std::vector<std::string> captions;
  std::vector<std::vector<int64_t>> texts_of(images.images.size()), image_of;
  for (size_t i = 0; i < data.captions.size(); ++i) {
    const int64_t row = row_of[data.image_of[i]];
    if (row < 0) continue;
    texts_of[row].push_back(static_cast<int64_t>(captions.size()));
    image_of.push_back({row});
    captions.push_back(data.captions[i]);
  }
  Retrieval result;
  result.images = static_cast<int64_t>(images.images.size());
  result.texts = static_cast<int64_t>(captions.size());
  result.errors = images.errors;
  if (captions.empty()) return result;
  const Tensor texts = embed_prompts(opened, captions, templates, text_progress);
  result.image_to_text = recall(images.rows, texts, texts_of);
  result.text_to_image = recall(texts, images.rows, image_of);
  return result;
}

}  // namespace ocelli
