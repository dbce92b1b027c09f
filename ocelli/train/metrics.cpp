#include "ocelli/train/metrics.h"

#include <nlohmann/json.hpp>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

MetricLine parse_line(std::string_view text, const std::string& file, size_t number) {
  const ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  MetricLine line;
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) {
    fail(ErrorCode::corrupt_data, "{}: line {} is no JSON object with a step", file, number);
  }
  line.step = json["step"].get<int64_t>();
  for (const auto& [key, value] : json.items()) {
    if (key != "step" && value.is_number()) line.values.emplace_back(key, value.get<double>());
  }
  return line;
}

}  // namespace

std::vector<MetricLine> read_metrics(const std::filesystem::path& file) {
  const std::string text = read_file(file, size_t{1} << 34);
  std::vector<MetricLine> lines;
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    lines.push_back(parse_line(line, file.string(), lines.size() + 1));
  }
  return lines;
}

MetricsFile::MetricsFile(const std::filesystem::path& file)
    : name_(file.string()), journal_(file), count_(journal_.lines().size()) {}

void MetricsFile::keep(size_t count) {
  journal_.keep(count);
  const std::vector<std::string>& lines = journal_.lines();
  count_ = lines.size();
  last_step_ = lines.empty() ? 0 : parse_line(lines.back(), name_, count_).step;
}

void MetricsFile::append(int64_t step, std::span<const Metric> values) {
  check(step >= last_step_, "{}: step {} comes after step {}", name_, step, last_step_);
  last_step_ = step;
  ordered_json line = {{"step", step}};
  for (const auto& [name, value] : values) line[name] = value;
  journal_.append(line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
  ++count_;
}

}  // namespace ocelli
