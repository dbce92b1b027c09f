#include "ocelli/text/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ocelli/base/file.h"
#include "ocelli/text/clip_bpe.h"

namespace ocelli {
namespace fs = std::filesystem;

std::vector<int32_t> Tokenizer::with_special(std::vector<int32_t> ids) const {
  ids.insert(ids.begin(), prefix_.begin(), prefix_.end());
  ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  append_ids(text, ids);
  return with_special(std::move(ids));
}

std::vector<int32_t> Tokenizer::encode_truncated(std::string_view text, int64_t length, bool& cut) const {
  std::vector<int32_t> ids;
  append_ids(text, ids);
  const auto room = std::max<int64_t>(0, length - static_cast<int64_t>(prefix_.size() + suffix_.size()));
  cut = static_cast<int64_t>(ids.size()) > room;
  if (cut && info_.truncation_side == PadSide::left) ids.erase(ids.begin(), ids.end() - room);
  if (cut) ids.resize(room);
  return with_special(std::move(ids));
}

TokenBatch Tokenizer::encode_batch(std::span<const std::string> texts, const BatchOptions& options) const {
  const int64_t context = options.context_length > 0 ? options.context_length : info_.context_length;
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
  std::ranges::fill(batch.ids.values<int32_t>(), options.pad_id.value_or(info_.pad_id));
  const bool left = options.pad_side.value_or(info_.pad_side) == PadSide::left;
  for (int64_t b = 0; b < count; ++b) {
    const int64_t at = b * width + (left ? width - static_cast<int64_t>(rows[b].size()) : 0);
    std::ranges::copy(rows[b], batch.ids.data<int32_t>() + at);
    std::fill_n(batch.mask.data<int32_t>() + at, rows[b].size(), 1);
  }
  return batch;
}

namespace {

using Json = nlohmann::json;

Json read_json(const fs::path& path) {
  Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail(ErrorCode::corrupt_data, "{}: not a JSON object", path.string());
  return json;
}

std::pair<std::string, std::string> parse_merge(const std::string& line, const std::string& name) {
  const size_t space = line.find(' ');
  if (space == std::string::npos || space == 0 || space + 1 == line.size()) {
    fail(ErrorCode::corrupt_data, "{}: the merge '{}' is not a pair", name, line.substr(0, 80));
  }
  return {line.substr(0, space), line.substr(space + 1)};
}

// tokenizer.json of huggingface/tokenizers.
ClipBpeFiles read_tokenizer_json(const fs::path& path) {
  const Json json = read_json(path);
  ClipBpeFiles files;
  files.name = path.string();
  const Json model = json.value("model", Json::object());
  if (model.value("type", "BPE") != "BPE" || model.value("end_of_word_suffix", Json()) != "</w>") {
    fail(ErrorCode::unsupported, "{}: a tokenizer of type {} that is not CLIP's BPE; this version reads CLIP's only",
         files.name, model.value("type", "BPE"));
  }
  files.vocab = model.at("vocab").get<decltype(files.vocab)>();
  for (const Json& merge : model.at("merges")) {
    files.merges.push_back(merge.is_array() ? merge.get<std::pair<std::string, std::string>>()
                                            : parse_merge(merge.get<std::string>(), files.name));
  }
  return files;
}

ClipBpeFiles read_vocab_and_merges(const fs::path& folder) {
  ClipBpeFiles files;
  files.name = (folder / "vocab.json").string();
  files.vocab = read_json(folder / "vocab.json").get<decltype(files.vocab)>();
  std::istringstream merges(read_file(folder / "merges.txt"));
  for (std::string line; std::getline(merges, line);) {
    if (line.empty() || line.starts_with("#version")) continue;
    files.merges.push_back(parse_merge(line, (folder / "merges.txt").string()));
  }
  return files;
}

// What tokenizer_config.json says of padding and length, when it is there.
void read_tokenizer_config(const fs::path& folder, ClipBpeFiles& files) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return;
  const Json config = read_json(path);
  const Json pad = config.value("pad_token", Json());
  if (pad.is_string()) files.pad_token = pad.get<std::string>();
  if (pad.is_object()) files.pad_token = pad.value("content", files.pad_token);
  // transformers writes 1e30 for "none".
  const Json length = config.value("model_max_length", Json());
  if (length.is_number() && length.get<double>() < 1e6) files.context_length = length.get<int64_t>();
}

}  // namespace

std::shared_ptr<const Tokenizer> open_tokenizer(const fs::path& folder) {
  try {
    ClipBpeFiles files;
    if (fs::exists(folder / "tokenizer.json")) {
      files = read_tokenizer_json(folder / "tokenizer.json");
    } else if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) {
      files = read_vocab_and_merges(folder);
    } else {
      fail(ErrorCode::not_found, "{}: no tokenizer; looked for tokenizer.json, vocab.json with merges.txt", folder.string());
    }
    read_tokenizer_config(folder, files);
    return make_clip_bpe(std::move(files));
  } catch (const Json::exception& error) {
    fail(ErrorCode::corrupt_data, "{}: the tokenizer files: {}", folder.string(), error.what());
  }
}

}  // namespace ocelli
