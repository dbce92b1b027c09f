#include "ocelli/text/open_clip.h"

#include "ocelli/text/files.h"
#include "ocelli/text/json_node.h"
#include "ocelli/text/simple_tokenizer.h"
#include "ocelli/text/transformers.h"

namespace ocelli {
namespace fs = std::filesystem;
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

Clean read_clean(const JsonNode& settings, const char* fallback) {
  const auto name = settings.get<std::string>("clean", fallback);
  if (name == "whitespace") return Clean::whitespace;
  if (name == "lower") return Clean::lower;
  if (name == "canonicalize") return Clean::canonicalize;
  fail(ErrorCode::corrupt_data, "{}: 'clean' is '{}', which open_clip does not know",
       settings.place(), name.substr(0, 80));
}

// Settings that change ids in ways that this version does not have.
void refuse_others(const JsonNode& text, const JsonNode& settings) {
  if (text.has("tokenizer_mode")) {
    fail(ErrorCode::unsupported, "{}: tokenizer_mode is not known to this version", text.place());
  }
  if (!settings) return;
  for (const auto& [name, value] : settings.json().items()) {
    const bool off = value.is_null() || value == false || value == "";
    if (name != "clean" && !off) {
      fail(ErrorCode::unsupported, "{}: '{}' is not known to this version", settings.place(),
           name.substr(0, 80));
    }
  }
}

// The merges of the folder: the .gz, else those of CLIP's files of transformers, which are the
// same.
Merges read_merges(const fs::path& folder, std::string& name) {
  const fs::path path = folder / kSimpleVocabulary;
  name = path.string();
  if (fs::exists(path)) return read_simple_merges(read_gzip(path), name);
  nlohmann::json model = read_clip_model(folder);
  if (model.is_null()) {
    fail(ErrorCode::not_found,
         "{}: no tokenizer; open_clip's lies in its Python package, not in the folder: copy "
         "open_clip/{} here, or CLIP's tokenizer.json, or its vocab.json and merges.txt",
         folder.string(), kSimpleVocabulary);
  }
  name = folder.string();
  const JsonNode node(model, name);
  if (!node.at("vocab").json().contains("<|startoftext|>")) {
    fail(ErrorCode::unsupported,
         "{}: the tokenizer files are not CLIP's, yet {} names no hf_tokenizer_name", name,
         "open_clip_config.json");
  }
  Merges merges;
  for (const JsonNode& item : node.items("merges")) {
    const nlohmann::json& merge = item.json();
    std::string left, right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      left = text.substr(0, text.find(' '));
      right = text.substr(std::min(left.size() + 1, text.size()));
    }
    if (left.empty() || right.empty()) {
      fail(ErrorCode::corrupt_data, "{}: not a pair", item.place());
    }
    merges.emplace_back(std::move(left), std::move(right));
  }
  return merges;
}

}  // namespace

std::shared_ptr<const Tokenizer> open_open_clip_tokenizer(const fs::path& folder,
                                                          const nlohmann::json& config) {
  const JsonNode root(config, (folder / "open_clip_config.json").string());
  const JsonNode text = root.at("model_cfg").at("text_cfg");
  const JsonNode settings = text.at("tokenizer_kwargs");
  refuse_others(text, settings);
  const auto context_length = text.get<int64_t>("context_length", 77);
  const auto hf_name = text.get<std::string>("hf_tokenizer_name", "");
  if (!hf_name.empty()) {
    auto tokenizer = open_transformers_tokenizer(
        folder, {.clean = read_clean(settings, "whitespace"), .context_length = context_length});
    if (tokenizer) return tokenizer;
    fail(ErrorCode::not_found,
         "{}: no tokenizer; open_clip_config.json wants that of '{}': put its tokenizer.json and "
         "tokenizer_config.json here",
         folder.string(), hf_name.substr(0, 200));
  }
  std::string name;
  const Merges merges = read_merges(folder, name);
  return make_simple_tokenizer(
      merges, name, {.clean = read_clean(settings, "lower"), .context_length = context_length});
}

}  // namespace ocelli
