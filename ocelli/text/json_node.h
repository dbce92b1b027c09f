// A value of a JSON file with its place, so that a wrong field can be named.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ocelli/base/error.h"

namespace ocelli {

class JsonNode {
 public:
  // `value` outlives the node.
  JsonNode(const nlohmann::json& value, std::string place)
      : value_(&value), place_(std::move(place)) {}

  const nlohmann::json& json() const { return *value_; }
  const std::string& place() const { return place_; }
  explicit operator bool() const { return !value_->is_null(); }

  bool has(const char* field) const {
    return value_->is_object() && value_->contains(field) && !(*value_)[field].is_null();
  }
  // The value below `field`; null when it is absent.
  JsonNode at(const char* field) const {
    static const nlohmann::json kNull;
    return {has(field) ? (*value_)[field] : kNull, place_ + "." + field};
  }
  std::vector<JsonNode> items(const char* field) const {
    const JsonNode array = at(field);
    if (!array.json().is_array()) fail_type(field, "an array");
    std::vector<JsonNode> nodes;
    for (size_t i = 0; i < array.json().size(); ++i) {
      nodes.emplace_back(array.json()[i], array.place() + "[" + std::to_string(i) + "]");
    }
    return nodes;
  }

  template <typename T>
  T require(const char* field) const {
    if (!has(field)) fail(ErrorCode::corrupt_data, "{}: the field '{}' is missing", place_, field);
    try {
      return (*value_)[field].template get<T>();
    } catch (const nlohmann::json::exception&) {
      fail_type(field, "what it should be");
    }
  }
  template <typename T>
  T get(const char* field, T fallback) const {
    return has(field) ? require<T>(field) : std::move(fallback);
  }

 private:
  [[noreturn]] void fail_type(const char* field, const char* what) const {
    fail(ErrorCode::corrupt_data, "{}: the field '{}' is not {}", place_, field, what);
  }

  const nlohmann::json* value_;
  std::string place_;
};

}  // namespace ocelli
