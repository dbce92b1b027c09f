// Tokenizer files and a text. The first byte chooses the kind; then follow the parts, separated by
// lines of "---", the text last: tokenizer.json; spiece.model; CLIP's list of merges; or the files
// of a folder in the order of kFiles.
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ocelli/base/file.h"
#include "ocelli/text/pipeline/pipeline.h"
#include "ocelli/text/siglip_tokenizer.h"
#include "ocelli/text/simple_tokenizer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

constexpr std::array kFiles = {"config.json",
                               "tokenizer_config.json",
                               "special_tokens_map.json",
                               "tokenizer.json",
                               "vocab.txt",
                               "vocab.json",
                               "merges.txt",
                               "spiece.model",
                               "sentencepiece.bpe.model",
                               "added_tokens.json",
                               "tokenizer.model",
                               "open_clip_config.json"};

std::vector<std::string> split_parts(std::string_view input) {
  std::vector<std::string> parts;
  for (size_t end; (end = input.find("\n---\n")) != std::string_view::npos;) {
    parts.emplace_back(input.substr(0, end));
    input.remove_prefix(end + 5);
  }
  parts.emplace_back(input);
  return parts;
}

std::shared_ptr<const Tokenizer> open_folder(const std::vector<std::string>& parts) {
  static const TempFolder kFolder;
  for (size_t i = 0; i < kFiles.size(); ++i) {
    std::filesystem::remove(kFolder / kFiles[i]);
    if (i < parts.size() && !parts[i].empty()) write_file(kFolder / kFiles[i], parts[i]);
  }
  return open_tokenizer(kFolder.path());
}

std::shared_ptr<const Tokenizer> open(int kind, const std::vector<std::string>& parts) {
  switch (kind) {
    case 0: {
      const auto json = nlohmann::json::parse(parts[0], nullptr, false);
      if (!json.is_object()) fail(ErrorCode::corrupt_data, "fuzz");
      PipelineOptions options;
      options.pad_token = "<pad>";
      return make_pipeline(json, "fuzz", options);
    }
    case 1: return make_siglip_tokenizer(SentencePieceFile::parse(parts[0], "fuzz"), {});
    case 2: return make_simple_tokenizer(read_simple_merges(parts[0], "fuzz"), "fuzz", {});
    default: return open_folder(parts);
  }
}

void run(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<std::string> texts = {
      text,
      "A photo of  a c\u00e4t, <s>don't</s> \u65e5\u672c \U0001F600 &amp; [CLS]\n12 \u00c3\u00a9"};
  BatchOptions options;
  options.context_length = 7;
  tokenizer.encode_batch(texts, options);
  for (const std::string& one : texts) {
    const std::vector<int32_t> ids = tokenizer.encode(one);
    for (const int32_t id : ids) {
      // Every id has a place in an embedding of the size that the tokenizer says.
      if (id < 0 || id >= tokenizer.info().vocab_size) __builtin_trap();
    }
    tokenizer.decode(ids, false);
    tokenizer.decode(ids, true);
  }
}

}  // namespace
}  // namespace ocelli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  if (size == 0) return 0;
  try {
    std::vector<std::string> parts =
        split_parts({reinterpret_cast<const char*>(data + 1), size - 1});
    const std::string text = parts.size() > 1 ? parts.back() : "text";
    if (parts.size() > 1) parts.pop_back();
    run(*open(data[0] % 4, parts), text.substr(0, 2000));
  } catch (const Error&) {
  } catch (const nlohmann::json::exception&) {
    // open_tokenizer turns these into corrupt_data; the parts below it may throw them.
    if (data[0] % 4 == 3) throw;
  }
  return 0;
}
