#include "cli/info_text.h"

#include <map>
#include <span>

namespace ocelli::cli {
namespace {

constexpr size_t kIndent = 15, kWidth = 100, kNames = 5;

// "  key          words, words,", broken into lines.
std::string entry(std::string_view key, const std::vector<std::string>& words) {
  std::string text = fmt::format("  {:<13}", key);
  size_t column = kIndent;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i] + (i + 1 < words.size() ? "," : "");
    if (column > kIndent && column + 1 + word.size() > kWidth) {
      text += '\n';
      text.append(kIndent, ' ');
      column = kIndent;
    } else if (column > kIndent) {
      text += ' ';
      ++column;
    }
    text += word;
    column += word.size();
  }
  return text + '\n';
}

// The first few of many names.
std::string few(std::span<const std::string> names) {
  std::string text =
      fmt::format("{}", fmt::join(names.first(std::min(names.size(), kNames)), ", "));
  return names.size() > kNames ? text + ", ..." : text;
}

std::string count_and_few(std::span<const std::string> names) {
  return names.empty() ? "none" : fmt::format("{}: {}", names.size(), few(names));
}

std::string bytes_text(int64_t bytes) {
  const double mb = static_cast<double>(bytes) / 1e6;
  return mb < 1000 ? fmt::format("{:.1f} MB", mb) : fmt::format("{:.2f} GB", mb / 1000);
}

std::string flops_text(double gflops) {
  return gflops < 0.1 ? fmt::format("{:.3g} MFLOP", 1e3 * gflops)
                      : fmt::format("{:.2f} GFLOP", gflops);
}

// 4,694,024
std::string count_text(int64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

// Numbers, switches and names of a configuration; lists and long texts are left to --json.
void flatten(const nlohmann::ordered_json& json, const std::string& prefix,
             std::vector<std::string>& words) {
  for (const auto& [key, value] : json.items()) {
    if (key == "id2label" || key == "label2id") continue;
    if (value.is_object()) flatten(value, prefix + key + ".", words);
    if (value.is_structured() || value.is_null()) continue;
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.size() <= 60) words.push_back(fmt::format("{}{} {}", prefix, key, text));
  }
}

std::string input_text(const ModelInfo& m) {
  const ImageProcessor& p = m.processor;
  const auto [height, width] = p.output_size();
  std::string text = fmt::format("{} x {} pixels", m.input[0], m.input[1]);
  if (p.resize == ImageProcessor::Resize::shortest) {
    text += fmt::format(", images resized to {} at their shorter side",
                        std::min(p.resize_height, p.resize_width));
  } else if (p.resize != ImageProcessor::Resize::none) {
    text += fmt::format(", images resized to {} x {}", p.resize_height, p.resize_width);
  }
  if (p.crop != ImageProcessor::Crop::none)
    text += fmt::format(" and cropped to {} x {}", height, width);
  return text;
}

std::string model_text(const ModelInfo& m) {
  std::string text = entry("family", {fmt::format("{} ({})", m.family, m.accepts)});
  text += entry("parameters", {count_text(m.parameters)});
  if (m.input[0] > 0) {
    text += entry("image", {input_text(m), flops_text(m.image_gflops)});
    text += entry("depth", {fmt::format("{} blocks", m.depth)});
  }
  if (m.context_length > 0) {
    text += entry("text",
                  {fmt::format("up to {} tokens", m.context_length), flops_text(m.text_gflops)});
  }
  text += entry("embedding", {fmt::format("{} numbers", m.embedding)});
  if (m.classes > 0)
    text +=
        entry("classes", {count_text(m.classes) + (m.labels.empty() ? "" : ": " + few(m.labels))});
  text += entry("precision", {fmt::format("{}: {}", backend::precision_name(m.precision.precision),
                                          m.precision.reason)});
  text += entry("missing", {count_and_few(m.weights.missing)});
  return text + entry("unused", {count_and_few(m.weights.unused)});
}

}  // namespace

std::string info_text(const Description& d, bool checked) {
  const CheckpointInfo& file = d.checkpoint;
  std::map<std::string, int64_t> dtypes;
  for (const TensorInfo& t : file.tensors) ++dtypes[dtype_name(t.dtype)];
  std::vector<std::string> words = {file.path, bytes_text(file.bytes)};
  for (const auto& [dtype, count] : dtypes)
    words.push_back(fmt::format("{} tensors of {}", count, dtype));
  std::string text = d.name + "\n" + entry("checkpoint", words);
  text += entry("layout", {file.layout + (file.type.empty() ? "" : ", " + file.type)});
  if (d.model) text += model_text(*d.model);
  for (const auto& [name, json] : file.config.items()) {
    std::vector<std::string> settings;
    flatten(json, "", settings);
    text += name + "\n" + entry("", settings);
  }
  if (checked && file.not_finite.empty()) text += entry("check", {"all weights are finite"});
  return text;
}

}  // namespace ocelli::cli
