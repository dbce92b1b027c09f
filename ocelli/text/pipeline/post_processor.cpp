#include "ocelli/text/pipeline/post_processor.h"

#include <limits>

#include "ocelli/text/pipeline/component.h"

namespace ocelli {
namespace {

int32_t checked_id(const nlohmann::json& id, const std::string& place) {
  if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
      id.get<int64_t>() > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::corrupt_data, "{}: a special token without an id", place);
  }
  return id.get<int32_t>();
}

// BertProcessing and RobertaProcessing: "cls" and "sep" are pairs of a token and its id.
SpecialIds read_pair(const JsonNode& node) {
  const auto id = [&](const char* field) {
    const nlohmann::json& pair = node.at(field).json();
    if (!pair.is_array() || pair.size() != 2) {
      fail(ErrorCode::corrupt_data, "{}: '{}' is not a token and its id", node.place(), field);
    }
    return checked_id(pair[1], node.place());
  };
  return {{id("cls")}, {id("sep")}};
}

SpecialIds read_template(const JsonNode& node) {
  SpecialIds special;
  bool text_seen = false;
  const JsonNode tokens = node.at("special_tokens");
  for (const JsonNode& part : node.items("single")) {
    if (part.has("Sequence")) {
      if (text_seen) {
        fail(ErrorCode::unsupported, "{}: a template that repeats the text", part.place());
      }
      text_seen = true;
      continue;
    }
    const auto name = part.at("SpecialToken").require<std::string>("id");
    const JsonNode token = tokens.at(name.c_str());
    for (const JsonNode& id : token.items("ids")) {
      auto& side = text_seen ? special.after : special.before;
      side.push_back(checked_id(id.json(), id.place()));
    }
  }
  if (!text_seen) fail(ErrorCode::unsupported, "{}: a template without the text", node.place());
  return special;
}

}  // namespace

SpecialIds read_post_processor(const JsonNode& node) {
  if (!node) return {};
  const auto type = node.require<std::string>("type");
  if (type == "TemplateProcessing") return read_template(node);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_pair(node);
  if (type == "ByteLevel") return {};  // offsets alone
  if (type != "Sequence") fail_component(node, "post-processor", type);
  SpecialIds all;
  for (const JsonNode& part : node.items("processors")) {
    check_depth(part);
    const SpecialIds special = read_post_processor(part);
    all.before.insert(all.before.begin(), special.before.begin(), special.before.end());
    all.after.insert(all.after.end(), special.after.begin(), special.after.end());
  }
  return all;
}

}  // namespace ocelli
