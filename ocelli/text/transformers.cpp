#include "ocelli/text/transformers.h"

#include <algorithm>

#include "ocelli/base/file.h"
#include "ocelli/text/files.h"
#include "ocelli/text/pipeline/pipeline.h"
#include "ocelli/text/recipes.h"
#include "ocelli/text/sentencepiece/sentencepiece.h"
#include "ocelli/text/sentencepiece/sentencepiece_document.h"
#include "ocelli/text/siglip_tokenizer.h"
#include "ocelli/text/transformers_files.h"

namespace ocelli {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// XLM-RoBERTa's ids are fairseq's: four special tokens, SentencePiece's from the fourth, a mask.
Json fairseq_pieces(const TransformersFiles& files, const Json& pieces) {
  Json result = Json::array();
  for (const auto& [name, token] : {std::pair("bos_token", "<s>"),
                                    {"pad_token", "<pad>"},
                                    {"eos_token", "</s>"},
                                    {"unk_token", "<unk>"}}) {
    result.push_back({files.special(name, token), 0.0});
  }
  for (size_t i = 3; i < pieces.size(); ++i) result.push_back(pieces[i]);
  result.push_back({files.special("mask_token", "<mask>"), 0.0});
  return result;
}

// A document with a "model" and, where it says one, a character map, from a SentencePiece file.
Json read_sentencepiece(const TransformersFiles& files, const Recipe& recipe,
                        const fs::path& path) {
  const SentencePieceFile file = SentencePieceFile::parse(read_file(path), path.string());
  if (file.model_type != 1) {
    fail(ErrorCode::unsupported,
         "{}: a SentencePiece model that is not a unigram one; the folder "
         "needs the tokenizer.json that its publisher made of it",
         path.string());
  }
  Json pieces = scored_pieces(file);
  if (recipe.class_name == "XLMRobertaTokenizer") pieces = fairseq_pieces(files, pieces);
  if (recipe.class_name == "T5Tokenizer") {
    for (int64_t i = extra_id_count(files); i-- > 0;)
      pieces.push_back({fmt::format("<extra_id_{}>", i), 0.0});
  }
  Json document = {{"model", {{"type", "Unigram"}, {"vocab", std::move(pieces)}}}};
  if (!file.charsmap.empty()) document["normalizer"] = charsmap_normalizer(file);
  return document;
}

// The first Precompiled normalizer of a document, or null.
Json precompiled_of(const Json& document) {
  const JsonNode normalizer = JsonNode(document, "tokenizer.json").at("normalizer");
  if (!normalizer) return nullptr;
  if (normalizer.get<std::string>("type", "") == "Precompiled") return normalizer.json();
  if (!normalizer.has("normalizers")) return nullptr;
  for (const JsonNode& part : normalizer.items("normalizers")) {
    if (part.get<std::string>("type", "") == "Precompiled") return part.json();
  }
  return nullptr;
}

// A document in the form of tokenizer.json and the file it comes from.
struct Source {
  Json document = nullptr;  // null: there is none
  std::string name = {};
  std::string bos_token = {}, eos_token = {};  // where no other file names them
  bool added_in_raw = false;                   // added tokens are found before normalising
};

// The vocabulary that a recipe is built round: tokenizer.json, or the files that came before it.
Source read_vocabulary(TransformersFiles& files, const Recipe& recipe) {
  const fs::path& folder = files.folder();
  if (!files.tokenizer().is_null()) {
    return {std::move(files.tokenizer()), (folder / "tokenizer.json").string()};
  }
  if (recipe.model == "BPE" && fs::exists(folder / "vocab.json") &&
      fs::exists(folder / "merges.txt")) {
    return {{{"model", read_bpe_files(folder / "vocab.json", folder / "merges.txt")}},
            (folder / "vocab.json").string()};
  }
  if (recipe.model == "WordPiece" && fs::exists(folder / "vocab.txt")) {
    return {{{"model", read_word_piece_file(folder / "vocab.txt")}},
            (folder / "vocab.txt").string()};
  }
  if (recipe.model != "Unigram") return {};
  for (const char* name : {"spiece.model", "sentencepiece.bpe.model"}) {
    const fs::path path = folder / name;
    if (fs::exists(path)) return {read_sentencepiece(files, recipe, path), path.string()};
  }
  return {};
}

// What a class without a recipe has: all of tokenizer.json, or else of tokenizer.model.
Source read_document(TransformersFiles& files) {
  const fs::path& folder = files.folder();
  if (!files.tokenizer().is_null()) {
    return {std::move(files.tokenizer()), (folder / "tokenizer.json").string()};
  }
  const fs::path path = folder / "tokenizer.model";
  if (!fs::exists(path)) return {};
  const SentencePieceFile file = SentencePieceFile::parse(read_file(path), path.string());
  return {.document = sentencepiece_document(file, files.settings().get("legacy", true)),
          .name = path.string(),
          .bos_token = file.bos_id >= 0 ? file.bos_piece : "",
          .eos_token = file.eos_id >= 0 ? file.eos_piece : "",
          .added_in_raw = file.add_dummy_prefix};
}

// Folders that name no class: what their files are in all that is published.
const Recipe* recipe_for_files(const fs::path& folder) {
  if (fs::exists(folder / "vocab.txt")) return find_recipe("BertTokenizer");
  if (!fs::exists(folder / "vocab.json") || !fs::exists(folder / "merges.txt")) return nullptr;
  const Json vocab = read_json_object(folder / "vocab.json");
  if (vocab.contains("<|startoftext|>")) return find_recipe("CLIPTokenizer");
  return find_recipe(vocab.contains("<s>") ? "RobertaTokenizer" : "GPT2Tokenizer");
}

// transformers writes 1e30 for "none".
int64_t context_length(const JsonNode& settings, int64_t fallback) {
  const auto length = settings.get<double>("model_max_length", static_cast<double>(fallback));
  return length >= 1 && length < 1e6 ? static_cast<int64_t>(length) : fallback;
}

PadSide read_side(const JsonNode& settings, const char* field, PadSide fallback) {
  const auto side = settings.get<std::string>(field, "");
  if (side.empty()) return fallback;
  if (side != "left" && side != "right") {
    fail(ErrorCode::corrupt_data, "{}: '{}' is '{}', which is neither left nor right",
         settings.place(), field, side.substr(0, 80));
  }
  return side == "left" ? PadSide::left : PadSide::right;
}

// The text of a special token of a class.
std::string special_of(const TransformersFiles& files, const Recipe* recipe,
                       std::string_view name) {
  std::string_view fallback;
  for (const auto& [known, token] : recipe ? recipe->tokens : decltype(recipe->tokens)()) {
    if (known == name) fallback = token;
  }
  return files.special(std::string(name).c_str(), fallback);
}

PipelineOptions pipeline_options(const TransformersFiles& files, const Recipe* recipe,
                                 const TransformersOptions& options) {
  const JsonNode settings = files.settings();
  PipelineOptions result;
  result.pad_token = special_of(files, recipe, "pad_token");
  result.bos_token = special_of(files, recipe, "bos_token");
  result.eos_token = special_of(files, recipe, "eos_token");
  result.unk_token = special_of(files, recipe, "unk_token");
  result.clean_up_spaces = settings.get("clean_up_tokenization_spaces", false);
  result.clean = options.clean;
  const bool left = recipe && recipe->pad_left;
  result.pad_side = read_side(settings, "padding_side", left ? PadSide::left : PadSide::right);
  result.truncation_side = read_side(settings, "truncation_side", PadSide::right);
  result.context_length = options.context_length;
  if (result.context_length == 0) {
    result.context_length = context_length(settings, recipe ? recipe->context_length : 0);
  }
  if (!recipe) return result;
  result.word_end = recipe->word_end;
  if (!recipe->before.empty()) result.before_token = special_of(files, recipe, recipe->before);
  if (!recipe->after.empty()) result.after_token = special_of(files, recipe, recipe->after);
  return result;
}

// Special tokens that tokenizer_config.json asks for, where no tokenizer.json says which there are.
void add_ends(const TransformersFiles& files, PipelineOptions& options) {
  if (!options.before_token.empty() || !options.after_token.empty()) return;
  if (files.settings().get("add_bos_token", false)) options.before_token = options.bos_token;
  if (files.settings().get("add_eos_token", false)) options.after_token = options.eos_token;
}

// The padding token and the sides of tokenizer.json itself, where no other file says them.
void add_file_defaults(const JsonNode& file, const JsonNode& settings, PipelineOptions& options) {
  const JsonNode padding = file.at("padding"), truncation = file.at("truncation");
  if (options.pad_token.empty()) options.pad_token = padding.get<std::string>("pad_token", "");
  const auto is_left = [](const JsonNode& part) {
    return part.get<std::string>("direction", "") == "Left";
  };
  if (padding && !settings.has("padding_side")) {
    options.pad_side = is_left(padding) ? PadSide::left : PadSide::right;
  }
  if (truncation && !settings.has("truncation_side")) {
    options.truncation_side = is_left(truncation) ? PadSide::left : PadSide::right;
  }
}

// The pipeline of a class, round the vocabulary, the character map and, where the class leaves it,
// the post-processor of the file.
Json apply_recipe(const TransformersFiles& files, const Recipe& recipe, Source source) {
  Json& file = source.document;
  Json document =
      recipe_document(recipe, special_of(files, &recipe, "unk_token"), files.settings().json());
  const JsonNode model = JsonNode(file, source.name).at("model");
  const auto type = model.get<std::string>("type", std::string(recipe.model));
  if (type != recipe.model) {
    fail(ErrorCode::corrupt_data, "{}: the model is {} but {} is one of {}", model.place(),
         type.substr(0, 80), recipe.class_name, recipe.model);
  }
  if (recipe.model == "Unigram") {
    if (Json map = precompiled_of(file); !map.is_null()) document["normalizer"] = std::move(map);
  }
  for (const char* field : {"vocab", "merges"}) {
    if (model.has(field)) document["model"][field] = std::move(file["model"][field]);
  }
  const bool own_special = !recipe.before.empty() || !recipe.after.empty();
  if (!own_special && file.contains("post_processor")) {
    document["post_processor"] = std::move(file["post_processor"]);
  }
  document["added_tokens"] = files.added_tokens(nullptr, &recipe);
  return document;
}

std::shared_ptr<const Tokenizer> open_siglip(const TransformersFiles& files,
                                             const TransformersOptions& options) {
  const fs::path path = files.folder() / "spiece.model";
  SentencePieceFile file = SentencePieceFile::parse(read_file(path), path.string());
  const JsonNode settings = files.settings();
  if (!settings.get("legacy", true)) file.add_dummy_prefix = false;
  SiglipOptions siglip;
  siglip.pad_token = files.special("pad_token", "</s>");
  siglip.eos_token = files.special("eos_token", "</s>");
  siglip.unk_token = files.special("unk_token", "<unk>");
  siglip.lower_case = settings.get("do_lower_case", true);
  siglip.clean = options.clean;
  siglip.context_length =
      options.context_length > 0 ? options.context_length : context_length(settings, 64);
  siglip.pad_side = read_side(settings, "padding_side", PadSide::right);
  siglip.truncation_side = read_side(settings, "truncation_side", PadSide::right);
  const Json added = files.added_tokens(nullptr, nullptr);
  for (const Json& token : added) {
    siglip.added_tokens.push_back(AddedToken::read(JsonNode(token, settings.place()), 0));
  }
  return make_siglip_tokenizer(std::move(file), std::move(siglip));
}

}  // namespace

std::shared_ptr<const Tokenizer> open_transformers_tokenizer(const fs::path& folder,
                                                             const TransformersOptions& options) {
  TransformersFiles files(folder);
  const std::string class_name = files.class_name();
  if (class_name == "SiglipTokenizer" && fs::exists(folder / "spiece.model")) {
    return open_siglip(files, options);
  }
  const bool published = !files.tokenizer().is_null();
  const Recipe* recipe = find_recipe(class_name);
  if (!recipe && !published) recipe = recipe_for_files(folder);
  Source source = recipe ? read_vocabulary(files, *recipe) : read_document(files);
  if (source.document.is_null()) return nullptr;
  PipelineOptions pipeline = pipeline_options(files, recipe, options);
  add_file_defaults({source.document, source.name}, files.settings(), pipeline);
  if (pipeline.bos_token.empty()) pipeline.bos_token = source.bos_token;
  if (pipeline.eos_token.empty()) pipeline.eos_token = source.eos_token;
  if (!published) add_ends(files, pipeline);
  const std::string name = source.name;
  const bool added_in_raw = source.added_in_raw;
  Json document;
  if (recipe) {
    document = apply_recipe(files, *recipe, std::move(source));
  } else {
    document = std::move(source.document);
    const Json own = document.contains("added_tokens") ? document["added_tokens"] : Json();
    document["added_tokens"] = files.added_tokens(own, nullptr);
    for (Json& token : document["added_tokens"]) {
      if (added_in_raw) token["normalized"] = false;
    }
  }
  return make_pipeline(document, name, pipeline);
}

Json read_clip_model(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) {
    Json document = read_json_object(folder / "tokenizer.json");
    return document.contains("model") ? std::move(document["model"]) : Json();
  }
  if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) {
    return read_bpe_files(folder / "vocab.json", folder / "merges.txt");
  }
  return nullptr;
}

}  // namespace ocelli
