// The configuration files beside a tokenizer of transformers, and what they say together.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ocelli/text/json_node.h"
#include "ocelli/text/recipes.h"

namespace ocelli {

class TransformersFiles {
 public:
  explicit TransformersFiles(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  // tokenizer.json; null when there is none.
  nlohmann::json& tokenizer() { return tokenizer_; }
  // tokenizer_config.json.
  JsonNode settings() const {
    return {tokenizer_config_, (folder_ / "tokenizer_config.json").string()};
  }

  // The tokenizer class that transformers' AutoTokenizer takes, without Fast; empty: none is named.
  std::string class_name() const;

  // The text of a special token ("eos_token"), or `fallback`.
  std::string special(const char* name, std::string_view fallback) const;

  // The "added_tokens" of the reference's tokenizer, in its order. `own` are those of the document
  // that it starts from, `recipe` is that of its class or null.
  nlohmann::json added_tokens(const nlohmann::json& own, const Recipe* recipe) const;

 private:
  // A special token as a file has it (a string or an object), or null.
  const nlohmann::json& special_json(const char* name) const;
  std::map<int64_t, nlohmann::json> numbered_tokens() const;
  void add_from_decoder(std::map<int64_t, nlohmann::json>& tokens) const;
  // Special tokens without a name of their own.
  std::vector<nlohmann::json> extra_tokens() const;

  std::filesystem::path folder_;
  nlohmann::json config_, tokenizer_, tokenizer_config_, special_tokens_map_, added_tokens_;
};

// How many <extra_id_N> T5's class adds.
int64_t extra_id_count(const TransformersFiles& files);

}  // namespace ocelli
