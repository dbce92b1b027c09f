// A model as it was published: its configuration files, read, and its checkpoint, opened.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ocelli/models/quantization.h"
#include "ocelli/tensor/source.h"

namespace ocelli {

// A JSON object with its place in a file, so that a wrong field can be named.
class Config {
 public:
  Config() = default;
  Config(nlohmann::json value, std::string place)
      : value_(std::move(value)), place_(std::move(place)) {}

  explicit operator bool() const { return value_.is_object(); }
  const nlohmann::json& json() const { return value_; }
  const std::string& place() const { return place_; }
  bool has(const std::string& field) const {
    return value_.is_object() && value_.contains(field) && !value_[field].is_null();
  }
  // The object below `field`; an empty Config when it is absent.
  Config at(const std::string& field) const {
    return has(field) ? Config(value_[field], place_ + "." + field)
                      : Config({}, place_ + "." + field);
  }
  template <typename T>
  T require(const std::string& field) const {
    if (!has(field)) fail(ErrorCode::corrupt_data, "{}: the field '{}' is missing", place_, field);
    return convert<T>(field);
  }
  template <typename T>
  T get(const std::string& field, T fallback) const {
    return has(field) ? convert<T>(field) : std::move(fallback);
  }

 private:
  template <typename T>
  T convert(const std::string& field) const {
    const nlohmann::json& value = value_[field];
    try {
      if (fits<T>(value)) return value.template get<T>();
    } catch (const nlohmann::json::exception&) {
    }
    fail(ErrorCode::corrupt_data, "{}: the field '{}' is {}, which has the wrong type", place_,
         field, value.dump().substr(0, 80));
  }

  // False for numbers that the library would cut down to T without a word.
  template <typename T>
  static bool fits(const nlohmann::json& value) {
    if constexpr (std::integral<T> && !std::same_as<T, bool>) {
      if (value.is_number_unsigned()) return std::in_range<T>(value.get<uint64_t>());
      if (value.is_number_integer()) return std::in_range<T>(value.get<int64_t>());
      if (!value.is_number()) return false;
      const auto number = value.get<double>();  // 12.0, as some scripts write
      return number == std::trunc(number) && std::abs(number) < 1 << 30;
    } else if constexpr (
        requires { typename T::value_type; } && !std::same_as<T, std::string> &&
        !requires { typename T::key_type; }) {
      return !value.is_array() || std::ranges::all_of(value, [](const nlohmann::json& each) {
        return fits<typename T::value_type>(each);
      });
    } else {
      return true;
    }
  }

  nlohmann::json value_;
  std::string place_;
};

// An empty Config where there is no such file. Throws corrupt_data for what is no JSON object.
Config read_config(const std::filesystem::path& path);

// What sentence-transformers does one after the other: modules.json. Empty without that file.
struct SentenceModule {
  std::string kind;            // "Transformer", "Pooling", "Normalize", ...
  std::filesystem::path path;  // of its configuration, relative to the folder
};
std::vector<SentenceModule> sentence_modules(const std::filesystem::path& folder);

struct ModelFolder {
  std::filesystem::path path;  // the folder (a lone checkpoint's parent)
  Config config;               // config.json
  Config open_clip;            // open_clip_config.json
  Config processor;            // preprocessor_config.json
  std::shared_ptr<const TensorSource> checkpoint;
  std::shared_ptr<const TensorSource> stored;  // with quantised weights as they lie in the file
  std::optional<Quantization> quantization;    // of config.json, which is without it here
  // Of a model whose towers are folders of their own ("vision_folder" and "text_folder" in
  // config.json, relative to it): by the prefix of their tensors in `checkpoint`, which has all.
  std::map<std::string, std::shared_ptr<const ModelFolder>> towers;
  bool is_tower = false;  // of another model, which projects what it gives

  // `path` is a folder or a checkpoint file. Throws not_found or corrupt_data.
  static ModelFolder open(const std::filesystem::path& path);
  // The configuration files alone, without a checkpoint.
  static ModelFolder open_texts(const std::filesystem::path& folder);

  // The tower `prefix` as a model by itself: its own folder, or the tensors below the prefix with
  // the configuration in `field`. Nothing where there are no such tensors.
  std::optional<ModelFolder> tower(const std::string& prefix, const std::string& field) const;
  // Whether the tensor belongs to a tower that is another folder.
  bool is_of_tower(std::string_view tensor) const;
  // Where the tokenizer's files lie: in the text tower's folder, if it has one.
  const std::filesystem::path& tokenizer_folder() const;

  bool has_tensor(std::string_view name) const;
  // First of transformers' "model_type", timm's "architecture"; empty when there is neither.
  std::string type() const;
  // Whose names the tensors have: "transformers", "timm", "open_clip", "openai"; "weights
  // alone" for a checkpoint that has neither a configuration nor OpenAI's names.
  std::string layout() const;
};

// The fields of a configuration that name towers' folders, with the prefixes of their tensors.
constexpr std::array<std::pair<const char*, const char*>, 2> kTowerFolders = {
    {{"vision_folder", "vision_model."}, {"text_folder", "text_model."}}};

// Puts the tensors of folder.towers beside those of folder.checkpoint.
void join_towers(ModelFolder& folder);

// Copies the configuration, tokenizer and licence files of a model; nothing of a folder without a
// configuration, where a lone checkpoint may lie among files that have nothing to do with it.
void copy_model_texts(const std::filesystem::path& from, const std::filesystem::path& to);

// Class names by index: transformers' id2label, or timm's label_names; empty when there are none.
std::vector<std::string> read_labels(const ModelFolder& folder);

}  // namespace ocelli
