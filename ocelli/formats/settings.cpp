#include "ocelli/formats/settings.h"

#include <fmt/ranges.h>

#include <stdexcept>

// toml++ 3.3 asserts what a broken file may well get wrong, and takes it for granted in a release.
namespace {
[[noreturn]] void fail_assertion() {
  throw std::logic_error("toml++");
}
}  // namespace
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expression) (static_cast<bool>(expression) ? void() : fail_assertion())
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include <algorithm>
#include <cstdlib>

#include "ocelli/base/error.h"
#include "ocelli/base/nearest_name.h"

namespace ocelli {
namespace {

constexpr char kMark = '@';

// toml++ 3.3 is undefined (__builtin_unreachable) for letters beyond ASCII where a space may be, so
// it sees none: each byte of theirs, and the mark itself, stands as the mark and two hex digits.
std::string hidden(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80 || c == kMark) {
      out += fmt::format("{}{:02x}", kMark, static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string shown(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kMark && i + 2 < text.size()) {
      out +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Each sets `into` if the node is what the setting takes.
bool assign(const Setting&, const toml::node& node, bool& into) {
  if (!node.is_boolean()) return false;
  into = *node.value<bool>();
  return true;
}

template <typename T>
requires std::is_arithmetic_v<T>
bool assign(const Setting& setting, const toml::node& node, T& into) {
  if (!node.is_integer() && (std::is_integral_v<T> || !node.is_floating_point())) return false;
  const double value = *node.value<double>();
  if (!(value >= setting.low && value <= setting.high)) return false;
  into = std::is_integral_v<T> ? static_cast<T>(*node.value<int64_t>()) : static_cast<T>(value);
  return true;
}

bool assign(const Setting& setting, const toml::node& node, std::string& into) {
  if (!node.is_string()) return false;
  std::string value = shown(*node.value<std::string>());
  const auto& words = setting.choices;
  if (!words.empty() && std::find(words.begin(), words.end(), value) == words.end()) return false;
  into = std::move(value);
  return true;
}

template <typename T>
bool assign(const Setting& setting, const toml::node& node, std::vector<T>& into) {
  const toml::array* array = node.as_array();
  if (!array) return false;
  std::vector<T> values(array->size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!assign(setting, (*array)[i], values[i])) return false;
  }
  into = std::move(values);
  return true;
}

std::string range_of(const Setting& setting) {
  return fmt::format("from {:.15g} to {:.15g}", setting.low, setting.high);
}

// What a field takes, for messages.
std::string wanted(const Setting&, const bool*) {
  return "true or false";
}
template <typename T>
requires std::is_integral_v<T> std::string wanted(const Setting& s, const T*) {
  return "a whole number " + range_of(s);
}
template <typename T>
requires std::is_floating_point_v<T> std::string wanted(const Setting& s, const T*) {
  return "a number " + range_of(s);
}
std::string wanted(const Setting& s, const std::string*) {
  if (s.choices.empty()) return "a text";
  return fmt::format("one of {}", fmt::join(s.choices, ", "));
}
std::string wanted(const Setting& s, const std::vector<int64_t>*) {
  return "a list of whole numbers " + range_of(s);
}
std::string wanted(const Setting&, const std::vector<std::string>*) {
  return "a list of texts";
}

const Setting& find(std::span<const Setting> settings, const std::string& key,
                    const std::string& where) {
  std::vector<std::string> keys;
  for (const Setting& s : settings) {
    if (s.key == key) return s;
    keys.push_back(s.key);
  }
  fail(ErrorCode::invalid_argument, "{}: there is no key '{}'; did you mean {}?", where, key,
       nearest_name(key, keys));
}

void set(const Setting& setting, const toml::node& node, const std::string& where) {
  const bool fits =
      std::visit([&](auto* target) { return assign(setting, node, *target); }, setting.target);
  if (fits) return;
  fail(ErrorCode::invalid_argument, "{}: {} takes {}", where, setting.key,
       std::visit([&](const auto* target) { return wanted(setting, target); }, setting.target));
}

void set_all(std::span<const Setting> settings, const toml::table& table, const std::string& prefix,
             const std::string& name) {
  for (const auto& [key, node] : table) {
    const std::string full = prefix + shown(key.str());
    const std::string where = fmt::format("{}: line {}", name, node.source().begin.line);
    if (const toml::table* section = node.as_table(); section && prefix.empty()) {
      set_all(settings, *section, full + ".", name);
    } else {
      set(find(settings, full, where), node, where);
    }
  }
}

toml::table parse(const std::string& text, const std::string& name) {
  if (text.find("\\u0040") != text.npos || text.find("\\U00000040") != text.npos) {
    fail(ErrorCode::corrupt_data, "{}: write {} as it is, not as an escape", name, kMark);
  }
  try {
    return toml::parse(hidden(text), name);
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::corrupt_data, "{}: line {}: {}", name, error.source().begin.line,
         shown(error.description()));
  } catch (const std::logic_error&) {
    fail(ErrorCode::corrupt_data, "{}: is no TOML", name);
  }
}

// TOML tells a float by its point or exponent. toml++ would give it 17 digits.
template <typename T>
std::string text_of(const T& value) {
  std::string text = fmt::format("{}", value);
  if (std::is_floating_point_v<T> && text.find_first_of(".en") == text.npos) text += ".0";
  return text;
}

std::string text_of(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <typename T>
std::string text_of(const std::vector<T>& values) {
  std::vector<std::string> texts;
  for (const T& value : values) texts.push_back(text_of(value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

}  // namespace

void read_settings(std::span<const Setting> settings, const std::string& text,
                   const std::string& name) {
  set_all(settings, parse(text, name), "", name);
}

void override_setting(std::span<const Setting> settings, const std::string& assignment) {
  const std::string where = "--set " + assignment;
  const size_t equals = assignment.find('=');
  check(equals != assignment.npos && assignment.find('\n') == assignment.npos,
        "{}: 'key=value' is needed", where);
  const std::string value = assignment.substr(equals + 1);
  const Setting& setting = find(settings, assignment.substr(0, equals), where);
  const bool quoted = value.starts_with('"') || value.starts_with('\'');
  if (std::holds_alternative<std::string*>(setting.target) && !quoted) {
    return set(setting, toml::value<std::string>(hidden(value)), where);
  }
  const toml::table table = parse("value = " + value, where);
  set(setting, *table.get("value"), where);
}

std::string settings_text(std::span<const Setting> settings) {
  std::string out, section;
  for (const Setting& setting : settings) {
    const size_t dot = setting.key.find('.');
    const std::string prefix = dot == setting.key.npos ? "" : setting.key.substr(0, dot);
    if (prefix != section) {
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", prefix);
      section = prefix;
    }
    out += fmt::format(
        "{} = {}\n", setting.key.substr(prefix.empty() ? 0 : dot + 1),
        std::visit([](const auto* target) { return text_of(*target); }, setting.target));
  }
  return out;
}

}  // namespace ocelli
