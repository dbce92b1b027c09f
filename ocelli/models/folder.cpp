#include "ocelli/models/folder.h"

#include <algorithm>
#include <array>

#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/joined_source.h"

namespace ocelli {
namespace fs = std::filesystem;

Config read_config(const fs::path& path) {
  if (!fs::exists(path)) return {};
  auto json = nlohmann::json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    fail(ErrorCode::corrupt_data, "{}: not a JSON object", path.string());
  }
  return {std::move(json), path.string()};
}

std::vector<SentenceModule> sentence_modules(const fs::path& folder) {
  const fs::path file = folder / "modules.json";
  if (!fs::exists(file)) return {};
  const auto list = nlohmann::json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) fail(ErrorCode::corrupt_data, "{}: not a JSON array", file.string());
  std::vector<SentenceModule> modules;
  for (const nlohmann::json& entry : list) {
    const Config module(entry, file.string());
    const auto type = module.require<std::string>("type");
    modules.push_back(
        {type.substr(type.rfind('.') + 1), module.get<std::string>("path", std::string())});
    const fs::path& path = modules.back().path;
    if (path.is_absolute() || std::ranges::find(path, "..") != path.end()) {
      fail(ErrorCode::corrupt_data, "{}: '{}' leads out of the folder", file.string(),
           path.string());
    }
  }
  return modules;
}

namespace {

// A model that was published without a configuration has none but for the block.
Config without_quantization(const Config& config) {
  nlohmann::json json = config.json();
  json.erase("quantization_config");
  return json.empty() ? Config() : Config(std::move(json), config.place());
}

// A model by itself: its towers, if it has any, are not opened.
ModelFolder open_alone(const fs::path& path) {
  if (!fs::exists(path)) fail(ErrorCode::not_found, "{}: no such file or folder", path.string());
  ModelFolder folder = ModelFolder::open_texts(fs::is_directory(path) ? path : path.parent_path());
  folder.checkpoint = folder.stored = open_checkpoint(path);
  folder.quantization = read_quantization(folder.config);
  if (folder.quantization) {
    folder.config = without_quantization(folder.config);
    folder.checkpoint = dequantized(folder.stored, folder.quantization->weights);
  }
  return folder;
}

}  // namespace

ModelFolder ModelFolder::open_texts(const fs::path& path) {
  ModelFolder folder;
  folder.path = path;
  folder.config = read_config(path / "config.json");
  folder.open_clip = read_config(path / "open_clip_config.json");
  folder.processor = read_config(path / "preprocessor_config.json");
  return folder;
}

ModelFolder ModelFolder::open(const fs::path& path) {
  ModelFolder folder = open_alone(path);
  for (const auto& [field, prefix] : kTowerFolders) {
    if (!folder.config.has(field)) continue;
    const fs::path tower = folder.path / folder.config.require<std::string>(field);
    if (!fs::exists(tower)) {
      fail(ErrorCode::not_found, "{}: the field '{}' names {}, which is not there",
           folder.config.place(), field, tower.lexically_normal().string());
    }
    folder.towers[prefix] = std::make_shared<ModelFolder>(open_alone(tower));
  }
  if (!folder.towers.empty()) join_towers(folder);
  return folder;
}

void join_towers(ModelFolder& folder) {
  JoinedSource::Parts parts = {{"", folder.checkpoint}};
  for (const auto& [prefix, tower] : folder.towers) parts[prefix] = tower->checkpoint;
  folder.checkpoint = std::make_shared<JoinedSource>(parts, folder.checkpoint->path());
}

std::optional<ModelFolder> ModelFolder::tower(const std::string& prefix,
                                              const std::string& field) const {
  auto part = std::make_shared<PartSource>(checkpoint, prefix);
  if (part->tensors().empty()) return {};
  ModelFolder folder;
  if (const auto found = towers.find(prefix); found != towers.end()) {
    folder = *found->second;
  } else {
    folder.path = path;
    folder.config = config.at(field);
    folder.processor = processor;
    folder.checkpoint = folder.stored = std::move(part);
  }
  folder.is_tower = true;
  return folder;
}

bool ModelFolder::is_of_tower(std::string_view tensor) const {
  return std::ranges::any_of(towers,
                             [&](const auto& tower) { return tensor.starts_with(tower.first); });
}

const fs::path& ModelFolder::tokenizer_folder() const {
  const auto text = towers.find("text_model.");
  return text == towers.end() ? path : text->second->path;
}

bool ModelFolder::has_tensor(std::string_view name) const {
  const auto& all = checkpoint->tensors();
  const auto entry = std::ranges::lower_bound(all, name, {}, &TensorInfo::name);
  return entry != all.end() && entry->name == name;
}

std::string ModelFolder::type() const {
  if (config.has("model_type")) return config.require<std::string>("model_type");
  return config.get<std::string>("architecture", "");
}

std::string ModelFolder::layout() const {
  const bool native = std::ranges::any_of(checkpoint->tensors(), [](const TensorInfo& tensor) {
    return tensor.name.starts_with("visual.");
  });
  if (native) return open_clip ? "open_clip" : "openai";
  if (config.has("model_type")) return "transformers";
  return config.has("architecture") ? "timm" : "weights alone";
}

namespace {

bool belongs_to_model(const fs::path& file) {
  static constexpr std::array kExtensions = {".json", ".txt", ".model", ".md", ".gz"};
  const std::string name = file.filename().string();
  if (name.ends_with(".index.json")) return false;
  return name.starts_with("LICENSE") ||
         std::ranges::find(kExtensions, file.extension().string()) != kExtensions.end();
}

}  // namespace

void copy_model_texts(const fs::path& from, const fs::path& to) {
  if (from.empty()) return;  // a model that was not read from a folder
  if (!fs::exists(from / "config.json") && !fs::exists(from / "open_clip_config.json")) return;
  for (const auto& entry : fs::directory_iterator(from)) {
    if (!entry.is_regular_file() || !belongs_to_model(entry.path())) continue;
    write_file(to / entry.path().filename(), read_file(entry.path()));
  }
  for (const SentenceModule& module : sentence_modules(from)) {
    const fs::path config = module.path / "config.json";
    if (module.path.empty() || !fs::exists(from / config)) continue;
    fs::create_directories(to / module.path);
    write_file(to / config, read_file(from / config));
  }
}

std::vector<std::string> read_labels(const ModelFolder& folder) {
  const auto names = folder.config.get<nlohmann::json>(
      "label_names",
      folder.config.at("pretrained_cfg").get<nlohmann::json>("label_names", nullptr));
  std::vector<std::string> labels;
  if (names.is_array()) {
    for (const auto& name : names)
      labels.push_back(name.is_string() ? name.get<std::string>() : name.dump());
    return labels;
  }
  const Config map = folder.config.at("id2label");
  if (!map) return labels;
  for (size_t i = 0; i < map.json().size(); ++i) {
    labels.push_back(map.get<std::string>(std::to_string(i), fmt::format("class {}", i)));
  }
  return labels;
}

}  // namespace ocelli
