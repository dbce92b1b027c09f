// Tokenizer classes of transformers 5 that build their pipeline themselves and take from the files
// no more than the vocabulary: what they build, in the form of tokenizer.json.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

struct Recipe {
  std::string_view class_name;
  std::string_view model;  // kind of the vocabulary: "BPE", "WordPiece", "Unigram"
  // Special tokens where no file names them, by what they are called ("bos_token").
  std::vector<std::pair<std::string_view, std::string_view>> tokens = {};
  // The special tokens round a text; both empty: what the file's post-processor says.
  std::string_view before = {}, after = {};
  std::string_view word_end = {};  // taken from decoded text
  int64_t context_length = 0;
  bool pad_left = false;
  bool unknown = true;  // the model has an unknown token
  std::string_view document =
      {};  // normalizer, pre_tokenizer, model (less the vocabulary), decoder
};

// Null for classes that have their pipeline from tokenizer.json. Names may end in Fast.
const Recipe* find_recipe(std::string_view class_name);

// The class that transformers takes for a config.json's model_type; empty when none is known here.
std::string_view class_of_model(std::string_view model_type);

// The document of a recipe, with the unknown token and what tokenizer_config.json changes of it.
nlohmann::json recipe_document(const Recipe& recipe, const std::string& unk_token,
                               const nlohmann::json& tokenizer_config);

}  // namespace ocelli
