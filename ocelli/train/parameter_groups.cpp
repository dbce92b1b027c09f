#include "ocelli/train/parameter_groups.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

namespace ocelli {
namespace {

constexpr std::string_view kBlocks[] = {"blocks", "layers", "layer", "resblocks"};
// Parts of names. A stem is searched for within parts, as timm does, the others are whole ones.
constexpr std::string_view kStems[] = {
    "cls_token",  "class_embedding", "reg_token",    "register_tokens",
    "dist_token", "mask_token",      "pos_embed",    "position_embed",
    "positional", "patch_embed",     "embeddings",   "token_embedding",
    "norm_pre",   "ln_pre",          "pre_layrnorm", "conv_stem"};
constexpr std::string_view kStemParts[] = {"conv1", "bn1"};
constexpr std::string_view kHeads[] = {"head", "heads", "classifier", "pooler"};
constexpr std::string_view kLastNorms[] = {"norm",           "layernorm", "ln_post",
                                           "post_layernorm", "ln_final",  "final_layer_norm",
                                           "conv_head",      "bn2"};
constexpr std::string_view kUndecayed[] = {
    "pos_embed",  "position_embeddings", "position_embedding", "positional_embedding",
    "cls_token",  "class_embedding",     "reg_token",          "register_tokens",
    "dist_token", "distillation_token",  "mask_token"};

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

std::vector<std::string_view> parts_of(std::string_view name) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_number(std::string_view part) {
  return !part.empty() && part.size() < 6 &&
         std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
}

enum class Stage { stem, block, last_norm, head };

struct Layer {
  bool vision = false;  // the tower, where there are two
  Stage place = Stage::head;
  std::array<int, 2> block = {};  // EfficientNet's have two numbers
};

Layer place_of(std::string_view name) {
  const auto parts = parts_of(name);
  Layer layer;
  layer.vision = parts[0].starts_with("visual") || parts[0].starts_with("vision");
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (!is_one_of(parts[i], kBlocks) || !is_number(parts[i + 1])) continue;
    layer.place = Stage::block;
    layer.block[0] = std::stoi(std::string(parts[i + 1]));
    const bool two = i + 2 < parts.size() && is_number(parts[i + 2]);
    if (two) layer.block[1] = std::stoi(std::string(parts[i + 2]));
    return layer;
  }
  const auto any = [&](std::span<const std::string_view> words) {
    return std::ranges::any_of(parts,
                               [&](std::string_view part) { return is_one_of(part, words); });
  };
  const auto has_stem = [&](std::string_view stem) { return name.find(stem) != name.npos; };
  if (any(kHeads)) return layer;
  if (std::ranges::any_of(kStems, has_stem) || any(kStemParts)) {
    layer.place = Stage::stem;
  } else if (any(kLastNorms)) {
    layer.place = Stage::last_norm;
  }
  return layer;
}

bool is_decayed(const Parameter& p) {
  if (p.value.rank() <= 1 || p.name.ends_with(".bias")) return false;
  return std::ranges::none_of(parts_of(p.name),
                              [](std::string_view part) { return is_one_of(part, kUndecayed); });
}

bool matches(const std::string& pattern, const std::string& name) {
  return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

template <class F>
void for_matches(std::span<Parameter> parameters, const std::string& pattern, const F& then) {
  bool any = false;
  for (Parameter& p : parameters) {
    if (!matches(pattern, p.name)) continue;
    any = true;
    then(p);
  }
  check(any, "no parameter matches '{}'; they are called {} and so on", pattern,
        parameters.empty() ? "" : parameters[0].name);
}

}  // namespace

std::vector<Parameter> parameters_of(const TrainableModel& model) {
  std::vector<Parameter> parameters;
  for (const std::string& name : model.parameters()) {
    parameters.push_back({.name = name, .value = model.tensor(name)});
  }
  return parameters;
}

void update_average(const TrainableModel& average, const TrainableModel& model, double momentum) {
  std::vector<Parameter> into = parameters_of(average), from = parameters_of(model);
  for (const auto& [name, tensor] : model.tensors()) {
    if (!is_running_statistic(name)) continue;
    into.push_back({.name = name, .value = average.tensor(name)});
    from.push_back({.name = name, .value = tensor});
  }
  update_average(into, from, momentum);
}

std::vector<int> layers_of(std::span<const Parameter> parameters) {
  std::vector<Layer> layers;
  std::map<bool, std::set<std::array<int, 2>>> blocks;  // of each tower, in order
  for (const Parameter& p : parameters) {
    layers.push_back(place_of(p.name));
    if (layers.back().place == Stage::block) {
      blocks[layers.back().vision].insert(layers.back().block);
    }
  }
  std::vector<int> numbers;
  for (const Layer& layer : layers) {
    const auto& tower = blocks[layer.vision];
    const auto depth = static_cast<int>(tower.size());
    switch (layer.place) {
      case Stage::stem: numbers.push_back(0); break;
      case Stage::block:
        numbers.push_back(1 +
                          static_cast<int>(std::distance(tower.begin(), tower.find(layer.block))));
        break;
      case Stage::last_norm: numbers.push_back(depth); break;
      case Stage::head: numbers.push_back(depth + 1); break;
    }
  }
  return numbers;
}

void set_groups(std::span<Parameter> parameters, const GroupOptions& options) {
  check(options.layer_decay > 0 && options.layer_decay <= 1, "layer_decay is {}, not in (0, 1]",
        options.layer_decay);
  const std::vector<int> layers = layers_of(parameters);
  std::map<bool, int> top;  // the highest layer of each tower
  for (size_t i = 0; i < parameters.size(); ++i) {
    int& highest = top[place_of(parameters[i].name).vision];
    highest = std::max(highest, layers[i]);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    Parameter& p = parameters[i];
    p.lr_scale = std::pow(options.layer_decay, top[place_of(p.name).vision] - layers[i]);
    p.decay = is_decayed(p);
    p.frozen = false;
  }
  for (const std::string& pattern : options.no_decay) {
    for_matches(parameters, pattern, [](Parameter& p) { p.decay = false; });
  }
  for (const std::string& pattern : options.freeze) {
    for_matches(parameters, pattern, [](Parameter& p) { p.frozen = true; });
  }
  for (const auto& [pattern, factor] : options.lr_scale) {
    for_matches(parameters, pattern, [by = factor](Parameter& p) { p.lr_scale *= by; });
  }
}

}  // namespace ocelli
