#include "ocelli/text/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ocelli/text/files.h"
#include "ocelli/text/open_clip.h"
#include "ocelli/text/transformers.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace fs = std::filesystem;

std::vector<int32_t> Tokenizer::with_special(std::vector<int32_t> ids) const {
  ids.insert(ids.begin(), prefix_.begin(), prefix_.end());
  ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

std::vector<int32_t> Tokenizer::text_ids(std::string_view text) const {
  std::string source = valid_utf8(text);
  if (clean_) source = clean_text(source, *clean_);
  std::vector<int32_t> ids;
  append_ids(source, ids);
  return ids;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  return with_special(text_ids(text));
}

std::vector<int32_t> Tokenizer::encode_truncated(std::string_view text, int64_t length,
                                                 bool& cut) const {
  const auto special = static_cast<int64_t>(prefix_.size() + suffix_.size());
  check(length >= special, "tokenizer: a text of {} tokens has no room for {} special ones", length,
        special);
  std::vector<int32_t> ids = text_ids(text);
  const int64_t room = length - special;
  cut = static_cast<int64_t>(ids.size()) > room;
  if (cut && info_.truncation_side == PadSide::left) ids.erase(ids.begin(), ids.end() - room);
  if (cut) ids.resize(room);
  return with_special(std::move(ids));
}

TokenBatch Tokenizer::encode_batch(std::span<const std::string> texts,
                                   const BatchOptions& options) const {
  const int64_t context =
      options.context_length > 0 ? options.context_length : info_.context_length;
  check(context > 0 || options.pad_to_longest, "tokenizer: no context length is known; give one");
  TokenBatch batch;
  std::vector<std::vector<int32_t>> rows;
  int64_t width = 0;
  for (const std::string& text : texts) {
    bool cut = false;
    rows.push_back(context > 0 ? encode_truncated(text, context, cut) : encode(text));
    batch.truncated += cut;
    width = std::max<int64_t>(width, static_cast<int64_t>(rows.back().size()));
  }
  if (!options.pad_to_longest) width = context;
  const auto count = static_cast<int64_t>(rows.size());
  batch.ids = Tensor::empty({count, width}, DType::i32);
  batch.mask = Tensor::zeros({count, width}, DType::i32);
  std::ranges::fill(batch.ids.values<int32_t>(), info_.pad_id);
  const bool left = info_.pad_side == PadSide::left;
  for (int64_t b = 0; b < count; ++b) {
    const int64_t at = b * width + (left ? width - static_cast<int64_t>(rows[b].size()) : 0);
    std::ranges::copy(rows[b], batch.ids.data<int32_t>() + at);
    std::fill_n(batch.mask.data<int32_t>() + at, rows[b].size(), 1);
  }
  return batch;
}

std::shared_ptr<const Tokenizer> open_tokenizer(const fs::path& folder) {
  try {
    const nlohmann::json open_clip = read_json_object(folder / "open_clip_config.json");
    const nlohmann::json config = read_json_object(folder / "config.json");
    const bool transformers = config.is_object() && config.contains("model_type");
    if (!open_clip.is_null() && !transformers) return open_open_clip_tokenizer(folder, open_clip);
    if (auto tokenizer = open_transformers_tokenizer(folder, {})) return tokenizer;
    if (fs::exists(folder / kSimpleVocabulary)) return open_open_clip_tokenizer(folder, nullptr);
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::corrupt_data, "{}: the tokenizer files: {}", folder.string(), error.what());
  }
  fail(ErrorCode::not_found,
       "{}: no tokenizer; looked for tokenizer.json, vocab.json with merges.txt, vocab.txt, "
       "spiece.model, sentencepiece.bpe.model, tokenizer.model, {}",
       folder.string(), kSimpleVocabulary);
}

}  // namespace ocelli
