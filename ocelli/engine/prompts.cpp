#include "ocelli/engine/prompts.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "ocelli/base/error.h"
#include "ocelli/base/log.h"
#include "ocelli/data/inputs.h"

namespace ocelli {

std::span<const std::string_view> openai80_templates() {
  static constexpr std::string_view kTemplates[] = {
      "a bad photo of a {}.",
      "a photo of many {}.",
      "a sculpture of a {}.",
      "a photo of the hard to see {}.",
      "a low resolution photo of the {}.",
      "a rendering of a {}.",
      "graffiti of a {}.",
      "a bad photo of the {}.",
      "a cropped photo of the {}.",
      "a tattoo of a {}.",
      "the embroidered {}.",
      "a photo of a hard to see {}.",
      "a bright photo of a {}.",
      "a photo of a clean {}.",
      "a photo of a dirty {}.",
      "a dark photo of the {}.",
      "a drawing of a {}.",
      "a photo of my {}.",
      "the plastic {}.",
      "a photo of the cool {}.",
      "a close-up photo of a {}.",
      "a black and white photo of the {}.",
      "a painting of the {}.",
      "a painting of a {}.",
      "a pixelated photo of the {}.",
      "a sculpture of the {}.",
      "a bright photo of the {}.",
      "a cropped photo of a {}.",
      "a plastic {}.",
      "a photo of the dirty {}.",
      "a jpeg corrupted photo of a {}.",
      "a blurry photo of the {}.",
      "a photo of the {}.",
      "a good photo of the {}.",
      "a rendering of the {}.",
      "a {} in a video game.",
      "a photo of one {}.",
      "a doodle of a {}.",
      "a close-up photo of the {}.",
      "a photo of a {}.",
      "the origami {}.",
      "the {} in a video game.",
      "a sketch of a {}.",
      "a doodle of the {}.",
      "a origami {}.",
      "a low resolution photo of a {}.",
      "the toy {}.",
      "a rendition of the {}.",
      "a photo of the clean {}.",
      "a photo of a large {}.",
      "a rendition of a {}.",
      "a photo of a nice {}.",
      "a photo of a weird {}.",
      "a blurry photo of a {}.",
      "a cartoon {}.",
      "art of a {}.",
      "a sketch of the {}.",
      "a embroidered {}.",
      "a pixelated photo of a {}.",
      "itap of the {}.",
      "a jpeg corrupted photo of the {}.",
      "a good photo of a {}.",
      "a plushie {}.",
      "a photo of the nice {}.",
      "a photo of the small {}.",
      "a photo of the weird {}.",
      "the cartoon {}.",
      "art of the {}.",
      "a drawing of the {}.",
      "a photo of the large {}.",
      "a black and white photo of a {}.",
      "the plushie {}.",
      "a dark photo of a {}.",
      "itap of a {}.",
      "graffiti of the {}.",
      "a toy {}.",
      "itap of my {}.",
      "a photo of a cool {}.",
      "a photo of a small {}.",
      "a tattoo of the {}.",
  };
  static_assert(std::size(kTemplates) == 80);
  return kTemplates;
}

std::vector<std::string> read_templates(const std::string& name) {
  if (name == "none") return {"{}"};
  if (name == "openai80") return {openai80_templates().begin(), openai80_templates().end()};
  if (!std::filesystem::exists(name)) {
    fail(ErrorCode::not_found, "--templates {}: neither a file nor one of openai80, none", name);
  }
  std::vector<std::string> templates = read_lines(name, /*skip_blank=*/true);
  check(!templates.empty(), "--templates {}: the file holds no templates", name);
  for (std::string& text : templates) {
    if (const size_t at = text.find("%s"); at != std::string::npos)
      text = text.substr(0, at) + "{}" + text.substr(at + 2);
    check(text.find("{}") != std::string::npos, "--templates {}: '{}' has no {{}} for the label",
          name, text);
  }
  return templates;
}

std::vector<std::string> read_label_list(const std::string& argument) {
  std::vector<std::string> labels;
  if (std::filesystem::is_regular_file(argument)) {
    labels = read_lines(argument, /*skip_blank=*/true);
  } else {
    // "labels.txt" that is not there is no label.
    if (argument.find(',') == std::string::npos &&
        argument.find_first_of("./") != std::string::npos) {
      fail(ErrorCode::not_found, "--labels {}: no such file", argument);
    }
    for (size_t begin = 0; begin <= argument.size();) {
      const size_t end = std::min(argument.find(',', begin), argument.size());
      std::string label = argument.substr(begin, end - begin);
      label.erase(0, label.find_first_not_of(" \t"));
      label.erase(label.find_last_not_of(" \t") + 1);
      if (!label.empty()) labels.push_back(std::move(label));
      begin = end + 1;
    }
  }
  check(!labels.empty(), "--labels {}: there are no labels in it", argument);
  std::unordered_map<std::string_view, size_t> first;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (const auto [it, fresh] = first.emplace(labels[i], i); !fresh) {
      log(LogLevel::warning,
          fmt::format("--labels: '{}' stands there twice (numbers {} and {}); both are kept",
                      labels[i], it->second + 1, i + 1));
      break;
    }
  }
  return labels;
}

std::string fill_template(std::string_view pattern, std::string_view label) {
  const size_t at = pattern.find("{}");
  return std::string(pattern.substr(0, at)).append(label).append(pattern.substr(at + 2));
}

}  // namespace ocelli
