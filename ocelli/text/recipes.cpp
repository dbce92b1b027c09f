#include "ocelli/text/recipes.h"

#include <algorithm>
#include <array>

#include "ocelli/text/json_node.h"

namespace ocelli {
namespace {

// transformers/models/clip/tokenization_clip.py
constexpr std::string_view kClip = R"json({
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "NFC"},
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
    {"type": "Lowercase"}]},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Removed", "invert": true, "pattern": {"Regex":
      "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}},
    {"type": "ByteLevel", "add_prefix_space": false}]},
  "model": {"type": "BPE", "end_of_word_suffix": "</w>"},
  "decoder": {"type": "ByteLevel"}})json";

// models/roberta/tokenization_roberta.py, models/gpt2/tokenization_gpt2.py
constexpr std::string_view kByteLevel = R"json({
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "model": {"type": "BPE"},
  "decoder": {"type": "ByteLevel"}})json";

// models/bert/tokenization_bert.py
constexpr std::string_view kBert = R"json({
  "normalizer": {"type": "BertNormalizer"},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "model": {"type": "WordPiece"},
  "decoder": {"type": "WordPiece"}})json";

// models/t5/tokenization_t5.py
constexpr std::string_view kT5 = R"json({
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "WhitespaceSplit"}, {"type": "Metaspace", "prepend_scheme": "always"}]},
  "model": {"type": "Unigram", "unk_id": 2},
  "decoder": {"type": "Metaspace", "prepend_scheme": "always"}})json";

// models/xlm_roberta/tokenization_xlm_roberta.py
constexpr std::string_view kXlmRoberta = R"json({
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "WhitespaceSplit"}, {"type": "Metaspace", "prepend_scheme": "always"}]},
  "model": {"type": "Unigram", "unk_id": 3},
  "decoder": {"type": "Metaspace", "prepend_scheme": "always"}})json";

// models/gemma/tokenization_gemma.py
constexpr std::string_view kGemma = R"json({
  "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
  "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"},
  "model": {"type": "BPE", "fuse_unk": true, "byte_fallback": true},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"}]}})json";

// models/siglip2/tokenization_siglip2.py: Gemma's, in lower case
constexpr std::string_view kSiglip2 = R"json({
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
  "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"},
  "model": {"type": "BPE", "fuse_unk": true, "byte_fallback": true},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"}]}})json";

const std::array<Recipe, 8>& recipes() {
  static const std::vector<std::pair<std::string_view, std::string_view>> kRobertaTokens = {
      {"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},  {"sep_token", "</s>"},
      {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};
  static const std::vector<std::pair<std::string_view, std::string_view>> kGemmaTokens = {
      {"bos_token", "<bos>"},
      {"eos_token", "<eos>"},
      {"unk_token", "<unk>"},
      {"pad_token", "<pad>"},
      {"mask_token", "<mask>"}};
  static const std::array<Recipe, 8> kRecipes = {{
      {.class_name = "CLIPTokenizer",
       .model = "BPE",
       .tokens = {{"bos_token", "<|startoftext|>"},
                  {"eos_token", "<|endoftext|>"},
                  {"unk_token", "<|endoftext|>"},
                  {"pad_token", "<|endoftext|>"}},
       .before = "bos_token",
       .after = "eos_token",
       .word_end = "</w>",
       .context_length = 77,
       .document = kClip},
      {.class_name = "RobertaTokenizer",
       .model = "BPE",
       .tokens = kRobertaTokens,
       .before = "cls_token",
       .after = "sep_token",
       .unknown = false,
       .document = kByteLevel},
      {.class_name = "GPT2Tokenizer",
       .model = "BPE",
       .tokens = {{"bos_token", "<|endoftext|>"},
                  {"eos_token", "<|endoftext|>"},
                  {"unk_token", "<|endoftext|>"}},
       .unknown = false,
       .document = kByteLevel},
      {.class_name = "BertTokenizer",
       .model = "WordPiece",
       .tokens = {{"unk_token", "[UNK]"},
                  {"sep_token", "[SEP]"},
                  {"pad_token", "[PAD]"},
                  {"cls_token", "[CLS]"},
                  {"mask_token", "[MASK]"}},
       .before = "cls_token",
       .after = "sep_token",
       .document = kBert},
      {.class_name = "T5Tokenizer",
       .model = "Unigram",
       .tokens = {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}},
       .after = "eos_token",
       .document = kT5},
      {.class_name = "XLMRobertaTokenizer",
       .model = "Unigram",
       .tokens = kRobertaTokens,
       .before = "bos_token",
       .after = "eos_token",
       .document = kXlmRoberta},
      {.class_name = "GemmaTokenizer",
       .model = "BPE",
       .tokens = kGemmaTokens,
       .pad_left = true,
       .document = kGemma},
      {.class_name = "Siglip2Tokenizer",
       .model = "BPE",
       .tokens = kGemmaTokens,
       .pad_left = true,
       .document = kSiglip2},
  }};
  return kRecipes;
}

struct Alias {
  std::string_view name, class_name;
};

}  // namespace

const Recipe* find_recipe(std::string_view class_name) {
  if (class_name.ends_with("Fast")) class_name.remove_suffix(4);
  // Classes that are others' under a second name.
  static constexpr std::array kAliases = {Alias{"BartTokenizer", "RobertaTokenizer"},
                                          Alias{"DistilBertTokenizer", "BertTokenizer"},
                                          Alias{"ElectraTokenizer", "BertTokenizer"}};
  for (const Alias& alias : kAliases) {
    if (class_name == alias.name) class_name = alias.class_name;
  }
  const auto found = std::ranges::find(recipes(), class_name, &Recipe::class_name);
  return found == recipes().end() ? nullptr : &*found;
}

std::string_view class_of_model(std::string_view model_type) {
  static constexpr std::array kClasses = {Alias{"clip", "CLIPTokenizer"},
                                          Alias{"clip_text_model", "CLIPTokenizer"},
                                          Alias{"siglip", "SiglipTokenizer"},
                                          Alias{"siglip_text_model", "SiglipTokenizer"},
                                          Alias{"siglip2", "Siglip2Tokenizer"},
                                          Alias{"align", "BertTokenizer"},
                                          Alias{"bert", "BertTokenizer"},
                                          Alias{"blip", "BertTokenizer"},
                                          Alias{"git", "BertTokenizer"},
                                          Alias{"chinese_clip", "BertTokenizer"},
                                          Alias{"roberta", "RobertaTokenizer"},
                                          Alias{"bridgetower", "RobertaTokenizer"},
                                          Alias{"florence2", "BartTokenizer"},
                                          Alias{"gpt2", "GPT2Tokenizer"},
                                          Alias{"t5", "T5Tokenizer"},
                                          Alias{"mt5", "T5Tokenizer"},
                                          Alias{"xlm-roberta", "XLMRobertaTokenizer"},
                                          Alias{"metaclip_2", "XLMRobertaTokenizer"}};
  const auto found = std::ranges::find(kClasses, model_type, &Alias::name);
  return found == kClasses.end() ? std::string_view() : found->class_name;
}

nlohmann::json recipe_document(const Recipe& recipe, const std::string& unk_token,
                               const nlohmann::json& tokenizer_config) {
  nlohmann::json document = nlohmann::json::parse(recipe.document);
  if (recipe.unknown) document["model"]["unk_token"] = unk_token;
  const JsonNode config(tokenizer_config, "tokenizer_config.json");
  if (recipe.document == kByteLevel) {
    document["pre_tokenizer"]["add_prefix_space"] = config.get("add_prefix_space", false);
  }
  if (recipe.document == kXlmRoberta && !config.get("add_prefix_space", true)) {
    document["pre_tokenizer"]["pretokenizers"][1]["prepend_scheme"] = "never";
    document["decoder"]["prepend_scheme"] = "never";
  }
  if (recipe.document == kBert) {
    nlohmann::json& normalizer = document["normalizer"];
    normalizer["lowercase"] = config.get("do_lower_case", true);
    normalizer["handle_chinese_chars"] = config.get("tokenize_chinese_chars", true);
    normalizer["strip_accents"] = config.at("strip_accents").json();
  }
  return document;
}

}  // namespace ocelli
