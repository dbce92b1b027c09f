#include "ocelli/models/quantization.h"

#include <array>
#include <cmath>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/models/folder.h"

namespace ocelli {
namespace {

using backend::Precision;

constexpr int64_t kVersion = 1;

Shape read_shape(const Config& weights, const std::string& name) {
  const auto sizes = weights.require<std::vector<int64_t>>(name);
  int64_t count = 1;
  bool fits = !sizes.empty() && sizes.size() <= 4;
  for (const int64_t size : sizes) {
    fits = fits && size >= 1 && size <= (int64_t{1} << 40) / count;
    count *= fits ? size : 1;
  }
  if (!fits) {
    fail(ErrorCode::corrupt_data, "{}: '{}' has no shape of a weight", weights.place(), name);
  }
  return Shape(std::span(sizes));
}

}  // namespace

nlohmann::ordered_json Quantization::to_json() const {
  nlohmann::ordered_json json = {{"quant_method", "ocelli"},
                                 {"version", kVersion},
                                 {"precision", backend::precision_name(precision)}};
  if (precision == Precision::int4) json["group"] = group;
  if (images > 0) {
    json["calibration"] = {{"images", images},
                           {"smoothed_norms", smoothed},
                           {"mean_cosine", mean_cosine},
                           {"worst_cosine", worst_cosine}};
  }
  for (const auto& [name, cosine] : kept) json["kept"][name] = cosine;
  for (const auto& [name, input] : inputs) json["inputs"][name] = {input.low, input.high};
  json["weights"] = nlohmann::ordered_json::object();
  for (const auto& [name, as] : weights) {
    json["weights"][name] = std::vector<int64_t>(as.shape.begin(), as.shape.end());
  }
  return json;
}

const backend::Backend& Quantization::higher() {
  return backend::cpu(backend::has_bf16_dots() ? Precision::bf16 : Precision::f32);
}

const backend::Backend& Quantization::packer(const std::string& name) const {
  return weights.contains(name) ? narrow(name) : higher();
}

const backend::Backend& Quantization::narrow(const std::string& name) const {
  if (precision == Precision::int4) return backend::cpu_int4(group);
  const auto input = inputs.find(name);
  return input == inputs.end() ? backend::cpu(precision) : *input->second.packer;
}

void Quantization::set_input(const std::string& name, float low, float high) {
  inputs[name] = {low, high, backend::cpu_int8(low, high)};
}

std::optional<Quantization> read_quantization(const Config& config) {
  const Config block = config.at("quantization_config");
  if (!block) return std::nullopt;
  const auto method = block.get<std::string>("quant_method", "");
  const auto version = block.get<int64_t>("version", kVersion);
  if (method != "ocelli" || version != kVersion) {
    fail(ErrorCode::unsupported,
         "{}: weights quantised by '{}', version {}, cannot be read; take the original weights",
         block.place(), method, version);
  }
  Quantization result;
  const auto name = block.require<std::string>("precision");
  const auto precision = backend::parse_precision(name);
  if (!precision || precision == Precision::f32) {
    fail(ErrorCode::corrupt_data, "{}: '{}' is none of int8, int4, bf16", block.place(), name);
  }
  result.precision = *precision;
  result.group = block.get<int64_t>("group", 32);
  if (result.group != 32 && result.group != 128) {
    fail(ErrorCode::corrupt_data, "{}: a group of {}; there are 32 and 128", block.place(),
         result.group);
  }
  const Config weights = block.at("weights");
  for (const auto& [weight, sizes] : weights.json().items()) {
    const int bits = result.precision == Precision::int4 ? 4 : 8;
    result.weights[weight] = {bits, result.group, read_shape(weights, weight)};
  }
  const Config inputs = block.at("inputs");
  for (const auto& [weight, range] : inputs.json().items()) {
    const auto [low, high] = inputs.require<std::array<float, 2>>(weight);
    if (result.precision != Precision::int8 || !(low < high) || !std::isfinite(high - low)) {
      fail(ErrorCode::corrupt_data, "{}: '{}' has no range of inputs in int8", inputs.place(),
           weight);
    }
    result.set_input(weight, low, high);
  }
  const Config kept = block.at("kept");
  for (const auto& [weight, cosine] : kept.json().items()) {
    result.kept.emplace_back(weight, kept.require<double>(weight));
  }
  const Config calibration = block.at("calibration");
  result.images = calibration.get<int64_t>("images", 0);
  result.smoothed = calibration.get<int64_t>("smoothed_norms", 0);
  result.mean_cosine = calibration.get<double>("mean_cosine", 0);
  result.worst_cosine = calibration.get<double>("worst_cosine", 0);
  return result;
}

}  // namespace ocelli
