#include "ocelli/engine/metadata.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

using nlohmann::json;

std::string text_of(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_of(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

ImageRecord record_of(const json& line) {
  ImageRecord record;
  for (const char* key : {"image_path", "path", "url", "key"}) {
    if (record.path.empty()) record.path = text_of(line, key);
  }
  record.folder = text_of(line, "folder");
  record.sha256 = text_of(line, "sha256");
  record.width = number_of(line, "width");
  record.height = number_of(line, "height");
  if (std::string caption = text_of(line, "caption"); !caption.empty()) record.caption = caption;
  return record;
}

}  // namespace

std::vector<ImageRecord> parse_metadata(std::string_view text, const std::string& name) {
  std::vector<ImageRecord> records;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const json parsed = json::parse(line, nullptr, false);
    if (!parsed.is_object()) {
      fail(ErrorCode::corrupt_data, "{}: line {} is no JSON object", name, records.size() + 1);
    }
    records.push_back(record_of(parsed));
    check(!records.back().path.empty(), "{}: line {} names no image (image_path, path, url or key)",
          name, records.size());
  }
  return records;
}

}  // namespace ocelli
