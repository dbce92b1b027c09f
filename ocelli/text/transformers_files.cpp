#include "ocelli/text/transformers_files.h"

#include <algorithm>
#include <array>

#include "ocelli/text/files.h"

namespace ocelli {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// In the order in which transformers adds them.
constexpr std::array<const char*, 7> kSpecialTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// A list of added tokens in which each text stands once.
class AddedList {
 public:
  explicit AddedList(std::string place) : place_(std::move(place)) {}

  void add(Json token, bool special, bool replace) {
    if (token.is_string()) token = {{"content", token}, {"special", true}, {"normalized", false}};
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string()) {
      fail(ErrorCode::corrupt_data, "{}: an added token without its text", place_);
    }
    if (special) token["special"] = true;
    const auto& content = token["content"].get_ref<const std::string&>();
    const auto [entry, fresh] = places_.emplace(content, tokens_.size());
    if (fresh)
      tokens_.push_back(std::move(token));
    else if (replace)
      tokens_[entry->second] = std::move(token);
    else if (special)
      tokens_[entry->second]["special"] = true;
  }
  Json take() { return std::move(tokens_); }

 private:
  std::string place_;
  Json tokens_ = Json::array();
  std::map<std::string, size_t> places_;
};

}  // namespace

TransformersFiles::TransformersFiles(const fs::path& folder)
    : folder_(folder),
      config_(read_json_object(folder / "config.json")),
      tokenizer_(read_json_object(folder / "tokenizer.json")),
      tokenizer_config_(read_json_object(folder / "tokenizer_config.json")),
      special_tokens_map_(read_json_object(folder / "special_tokens_map.json")),
      added_tokens_(read_json_object(folder / "added_tokens.json")) {
  if (tokenizer_config_.is_null()) tokenizer_config_ = Json::object();
  // A saved added_tokens_decoder stands for these two files of older versions.
  if (settings().has("added_tokens_decoder")) special_tokens_map_ = added_tokens_ = nullptr;
}

std::string TransformersFiles::class_name() const {
  const JsonNode config(config_, (folder_ / "config.json").string());
  const auto type = config.get<std::string>("model_type", "");
  // Published folders of this model name another class, which is known to be wrong.
  if (type == "siglip2") return std::string(class_of_model(type));
  auto name = settings().get<std::string>("tokenizer_class", "");
  if (name.empty()) {
    name = config.get<std::string>("tokenizer_class", std::string(class_of_model(type)));
  }
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

const Json& TransformersFiles::special_json(const char* name) const {
  static const Json kNone;
  for (const Json* file : {&special_tokens_map_, &tokenizer_config_}) {
    if (file->is_object() && file->contains(name) && !(*file)[name].is_null()) return (*file)[name];
  }
  return kNone;
}

std::string TransformersFiles::special(const char* name, std::string_view fallback) const {
  const Json& token = special_json(name);
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object()) return JsonNode(token, name).require<std::string>("content");
  return std::string(fallback);
}

void TransformersFiles::add_from_decoder(std::map<int64_t, Json>& tokens) const {
  const JsonNode decoder = settings().at("added_tokens_decoder");
  for (const auto& [id, token] : decoder.json().items()) {
    const bool number = !id.empty() && id.size() < 11 &&
                        std::ranges::all_of(id, [](char c) { return c >= '0' && c <= '9'; });
    if (!number || !token.is_object()) {
      fail(ErrorCode::corrupt_data, "{}: '{}' is no id with a token", decoder.place(),
           id.substr(0, 80));
    }
    tokens[std::stoll(id)] = token;
  }
}

std::map<int64_t, Json> TransformersFiles::numbered_tokens() const {
  std::map<int64_t, Json> tokens;
  if (settings().has("added_tokens_decoder")) {
    add_from_decoder(tokens);
    return tokens;
  }
  if (added_tokens_.is_object()) {
    for (const auto& [content, id] : added_tokens_.items()) {
      if (!id.is_number_integer()) continue;
      bool special = false;
      for (const char* name : kSpecialTokens) special |= this->special(name, "") == content;
      tokens[id.get<int64_t>()] = {{"content", content}, {"special", special}};
    }
  }
  if (tokenizer_.is_object() && tokenizer_.contains("added_tokens")) {
    const JsonNode file(tokenizer_, (folder_ / "tokenizer.json").string());
    for (const JsonNode& token : file.items("added_tokens")) {
      tokens[token.require<int64_t>("id")] = token.json();
    }
  }
  return tokens;
}

std::vector<Json> TransformersFiles::extra_tokens() const {
  std::vector<Json> tokens;
  for (const char* name : {"extra_special_tokens", "additional_special_tokens"}) {
    const Json& list = special_json(name);
    if (list.is_array()) tokens.insert(tokens.end(), list.begin(), list.end());
    if (list.is_object()) {
      for (const auto& [key, token] : list.items()) tokens.push_back(token);
    }
    if (!tokens.empty()) break;
  }
  return tokens;
}

Json TransformersFiles::added_tokens(const Json& own, const Recipe* recipe) const {
  AddedList list(folder_.string());
  if (own.is_array()) {
    for (const Json& token : own) list.add(token, false, true);
  }
  for (auto& [id, token] : numbered_tokens()) list.add(token, false, true);
  for (const char* name : kSpecialTokens) {
    Json token = special_json(name);
    if (token.is_null() && recipe) {
      const auto known = std::ranges::find(recipe->tokens, std::string_view(name),
                                           [](const auto& entry) { return entry.first; });
      if (known != recipe->tokens.end()) token = std::string(known->second);
    }
    if (!token.is_null()) list.add(std::move(token), true, false);
  }
  for (Json& token : extra_tokens()) list.add(std::move(token), true, false);
  if (recipe && recipe->class_name == "T5Tokenizer") {
    for (int64_t i = 0; i < extra_id_count(*this); ++i) {
      list.add(fmt::format("<extra_id_{}>", i), true, false);
    }
  }
  return list.take();
}

int64_t extra_id_count(const TransformersFiles& files) {
  return std::clamp<int64_t>(files.settings().get<int64_t>("extra_ids", 100), 0, 1000);
}

}  // namespace ocelli
