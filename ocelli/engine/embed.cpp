#include "ocelli/engine/embed.h"

#include <atomic>
#include <charconv>
#include <cstring>

#include "ocelli/base/log.h"
#include "ocelli/engine/prompts.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

void check_has_text(const OpenModel& opened) {
  if (!opened.model->has_text()) {
    fail(ErrorCode::unsupported,
         "{}: texts need a model with a text tower (CLIP, SigLIP); this is {}", opened.name,
         opened.family->name);
  }
  opened.tokenizer();
}

void embed_texts(const OpenModel& opened, const TextRun& run, const DeliverRow& deliver) {
  check_has_text(opened);
  const Tokenizer& tokenizer = opened.tokenizer();
  const TextFormat format = opened.model->text_format();
  BatchOptions batching;
  batching.context_length = format.context_length;
  batching.pad_to_longest = !format.pad_to_length;
  std::atomic<int64_t> truncated = 0;
  const auto work = [&](int64_t begin, int64_t end) {
    std::vector<std::string> texts;
    for (int64_t i = begin; i < end; ++i) texts.push_back(run.text(i));
    const TokenBatch tokens = tokenizer.encode_batch(texts, batching);
    truncated += tokens.truncated;
    const Tensor rows = opened.model->embed_text(tokens.ids, to(tokens.mask, DType::u8));
    if (!is_finite(rows)) {
      fail(ErrorCode::corrupt_data, "{}: a text becomes NaN or infinity; see 'ocelli info --check'",
           opened.name);
    }
    return std::make_shared<Tensor>(run.normalize ? normalize(rows) : rows);
  };
  run_ordered(run.count, run.batch, work,
              [&](int64_t begin, int64_t end, const std::shared_ptr<void>& result) {
                const Tensor& rows = *static_cast<Tensor*>(result.get());
                for (int64_t i = begin; i < end; ++i) deliver(i, rows.select(0, i - begin));
                if (run.progress) run.progress(end, run.count);
              });
  if (truncated > 0) {
    log(LogLevel::warning,
        fmt::format("{} of {} texts are longer than the model's {} tokens and were cut",
                    truncated.load(), run.count, format.context_length));
  }
}

Tensor embed_texts(const OpenModel& opened, const std::vector<std::string>& texts,
                   const Progress& progress) {
  Tensor rows = Tensor::empty({static_cast<int64_t>(texts.size()), opened.model->embedding_size()});
  TextRun run;
  run.count = static_cast<int64_t>(texts.size());
  run.text = [&](int64_t i) { return texts[i]; };
  run.progress = progress;
  embed_texts(opened, run, [&](int64_t i, const Tensor& row) {
    std::memcpy(rows.data<float>() + i * rows.size(1), row.data<float>(), row.nbytes());
  });
  return rows;
}

Tensor embed_prompts(const OpenModel& opened, const std::vector<std::string>& texts,
                     const std::vector<std::string>& templates, const Progress& progress) {
  const auto count = static_cast<int64_t>(templates.size());
  const int64_t width = opened.model->embedding_size();
  const Tensor sums = Tensor::zeros({static_cast<int64_t>(texts.size()), width});
  TextRun run;
  run.count = count * static_cast<int64_t>(texts.size());
  run.text = [&](int64_t i) { return fill_template(templates[i % count], texts[i / count]); };
  run.progress = progress;
  embed_texts(opened, run, [&](int64_t i, const Tensor& row) {
    float* sum = sums.data<float>() + i / count * width;
    const float* values = row.data<float>();
    for (int64_t d = 0; d < width; ++d) sum[d] += values[d];
  });
  return normalize(sums);
}

Tensor embed_pixels(const OpenModel& opened, const Tensor& pixels, bool normalized) {
  const Tensor rows = opened.model->embed_image(pixels);
  return normalized ? normalize(rows) : rows;
}

Features parse_features(const std::string& name) {
  if (name == "cls") return Features::cls;
  if (name == "patch-mean") return Features::patch_mean;
  if (name == "cls+mean") return Features::cls_mean;
  if (name == "patch") return Features::patch;
  fail(ErrorCode::invalid_argument, "features '{}': cls, patch-mean, cls+mean or patch is needed",
       name);
}

std::vector<int> parse_layers(const std::string& text, int64_t depth) {
  std::vector<int64_t> numbers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    int64_t number = 0;
    const auto [rest, error] = std::from_chars(&text[begin], &text[end], number);
    check(error == std::errc() && rest == &text[end],
          "layers '{}': a number of blocks, or a list as in 4,8,12, is needed", text);
    check(number >= 1 && number <= depth, "layers {}: the model has {}", text, depth);
    numbers.push_back(number);
    begin = end + 1;
  }
  std::vector<int> layers;
  if (numbers.size() == 1) {
    for (int64_t i = depth - numbers[0]; i < depth; ++i) layers.push_back(static_cast<int>(i));
  } else {
    for (const int64_t n : numbers) layers.push_back(static_cast<int>(n - 1));
  }
  return layers;
}

Tensor feature_pixels(const OpenModel& opened, const Tensor& pixels, Features features,
                      const std::vector<int>& layers, bool normalized) {
  const Model& model = *opened.model;
  const auto layout = model.token_layout();
  const bool needs_class = features == Features::cls || features == Features::cls_mean;
  if (!layout || (needs_class && layout->class_tokens == 0)) {
    fail(ErrorCode::unsupported, "{}: {} has no {} (--features)", opened.name, opened.family->name,
         layout ? "class token" : "patches to take features from");
  }
  const auto tokens = model.features(pixels, {.layers = layers, .norm = true});
  const auto patches = [&](const Tensor& t) { return t.slice(1, layout->prefix(), t.size(1)); };
  std::vector<Tensor> parts;
  for (const Tensor& t : tokens) {
    parts.push_back(needs_class                   ? t.select(1, 0)
                    : features == Features::patch ? patches(t)
                                                  : mean(patches(t), 1));
  }
  if (features == Features::cls_mean) parts.push_back(mean(patches(tokens.back()), 1));
  Tensor rows = cat(parts, -1);
  if (features == Features::patch) {
    rows = contiguous(rows).view({pixels.size(0), pixels.size(1) / layout->patch,
                                  pixels.size(2) / layout->patch, rows.size(-1)});
  }
  return normalized ? normalize(rows) : rows;
}

Tensor probabilities(const Tensor& cosine, const Similarity& similarity) {
  const Tensor logits = cosine * similarity.scale + similarity.bias;
  return similarity.sigmoid ? sigmoid(logits) : softmax(logits);
}

ImageEmbeddings embed_images(const OpenModel& opened, std::span<const std::string> paths,
                             const RunOptions& options) {
  ImageEmbeddings result;
  const int64_t width = opened.model->embedding_size();
  std::vector<float> values;
  result.errors = run_images(
      opened.processor, paths, [&](const Tensor& pixels) { return embed_pixels(opened, pixels); },
      [&](int64_t index, const Tensor& row) {
        result.images.push_back(index);
        values.insert(values.end(), row.data<float>(), row.data<float>() + width);
      },
      options);
  result.rows = Tensor::from<float>(values, {static_cast<int64_t>(result.images.size()), width});
  return result;
}

}  // namespace ocelli
