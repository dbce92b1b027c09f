#include "ocelli/engine/retrieval.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <span>

#include "ocelli/base/threads.h"
#include "ocelli/engine/prompts.h"

namespace ocelli {
namespace {

constexpr int64_t kKeyBlock = 256;  // queries compared with all keys at a time

// The place of the best of `own` among all keys, from 0.
int64_t best_rank(std::span<const float> similarity, const std::vector<int64_t>& own) {
  const int64_t best = *std::ranges::min_element(own, [&](int64_t a, int64_t b) {
    return similarity[a] > similarity[b] || (similarity[a] == similarity[b] && a < b);
  });
  int64_t rank = 0;
  for (int64_t k = 0; k < static_cast<int64_t>(similarity.size()); ++k) {
    rank += similarity[k] > similarity[best] || (similarity[k] == similarity[best] && k < best);
  }
  return rank;
}

// Shows each query, from any thread, its similarities with all keys.
void compare(const Tensor& queries, const Tensor& keys,
             const std::function<void(int64_t query, std::span<const float>)>& show) {
  LinearWeight packed(keys, {});
  packed.pack();
  const int64_t count = queries.size(0);
  for (int64_t begin = 0; begin < count; begin += kKeyBlock) {
    throw_if_cancelled();
    const int64_t end = std::min(count, begin + kKeyBlock);
    const Tensor similarity = linear(queries.slice(0, begin, end), packed);  // [block, K]
    parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        show(begin + i, similarity.select(0, i).values<float>());
      }
    });
  }
}

// Of query `q`, one of the keys itself; nothing without another of its class.
std::optional<double> average_precision(std::span<const float> similarity, int64_t q,
                                        const std::vector<int64_t>& class_of) {
  std::vector<int64_t> order;
  for (int64_t k = 0; k < std::ssize(similarity); ++k)
    if (k != q) order.push_back(k);
  std::ranges::stable_sort(order, std::greater{}, [&](int64_t k) { return similarity[k]; });
  double found = 0, precisions = 0;
  for (size_t place = 0; place < order.size(); ++place) {
    if (class_of[order[place]] != class_of[q]) continue;
    precisions += ++found / static_cast<double>(place + 1);
  }
  if (found == 0) return std::nullopt;
  return precisions / found;
}

}  // namespace

Recall recall(const Tensor& queries, const Tensor& keys,
              const std::vector<std::vector<int64_t>>& own) {
  const int64_t count = queries.size(0);
  std::vector<int64_t> ranks(count);
  compare(queries, keys, [&](int64_t q, std::span<const float> similarity) {
    ranks[q] = best_rank(similarity, own[q]);
  });
  const auto within = [&](int64_t k) {
    return static_cast<double>(std::ranges::count_if(ranks, [&](int64_t r) { return r < k; })) /
           static_cast<double>(std::max<int64_t>(count, 1));
  };
  return {within(1), within(5), within(10)};
}

double mean_average_precision(const Tensor& rows, const std::vector<int64_t>& class_of) {
  std::vector<std::optional<double>> precisions(class_of.size());
  compare(rows, rows, [&](int64_t q, std::span<const float> similarity) {
    precisions[q] = average_precision(similarity, q, class_of);
  });
  double sum = 0;
  int64_t queries = 0;
  for (const auto& precision : precisions) {
    sum += precision.value_or(0);
    queries += precision.has_value();
  }
  return sum / static_cast<double>(std::max<int64_t>(queries, 1));
}

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
