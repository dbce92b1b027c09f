#include "ocelli/curate/recipe.h"

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
#include <functional>
#include <map>
#include <sstream>

#include "ocelli/base/file.h"

namespace ocelli {
namespace {

using Setter = std::function<bool(const toml::node&)>;  // false: not what is wanted
using Section = std::map<std::string, Setter>;

template <typename T>
Setter number(T& into, double low, double high) {
  return [&into, low, high](const toml::node& node) {
    const auto value = node.value<double>();
    if (!value || !(*value >= low && *value <= high)) return false;
    if (std::is_integral_v<T> && !node.is_integer()) return false;
    into = static_cast<T>(*value);
    return true;
  };
}

Setter flag(bool& into) {
  return [&into](const toml::node& node) {
    if (!node.is_boolean()) return false;
    into = *node.value<bool>();
    return true;
  };
}

Setter word(std::string& into, std::vector<std::string> choices) {
  return [&into, choices = std::move(choices)](const toml::node& node) {
    const auto value = node.value<std::string>();
    if (!node.is_string() || std::ranges::find(choices, *value) == choices.end()) return false;
    into = *value;
    return true;
  };
}

template <typename T>
Setter list(std::vector<T>& into) {
  return [&into](const toml::node& node) {
    const toml::array* array = node.as_array();
    if (!array) return false;
    for (const toml::node& item : *array) {
      const auto value = item.value_exact<T>();
      if (!value) return false;
      into.push_back(*value);
    }
    return true;
  };
}

std::map<std::string, Section> sections(Recipe& r) {
  QualityLimits& q = r.quality;
  constexpr double kMany = 1e9;
  return {
      {"", {{"seed", number(r.seed, 0, 1e15)}}},
      {"collect",
       {{"keep_animated", flag(r.keep_animated)},
        {"keep_wrong_extension", flag(r.keep_wrong_extension)},
        {"max_pixels", number(r.max_pixels, 1, 1e12)}}},
      {"quality",
       {{"min_side", number(q.min_side, 0, kMany)},
        {"max_aspect", number(q.max_aspect, 1, kMany)},
        {"min_sharpness", number(q.min_sharpness, 0, kMany)},
        {"min_brightness", number(q.min_brightness, 0, 1)},
        {"max_brightness", number(q.max_brightness, 0, 1)},
        {"min_contrast", number(q.min_contrast, 0, 1)},
        {"min_entropy", number(q.min_entropy, 0, 8)},
        {"max_solid", number(q.max_solid, 0, 1)}}},
      {"dedup",
       {{"enabled", flag(r.dedup)}, {"near", number(r.near, 0, 1)}, {"against", list(r.against)}}},
      {"retrieve",
       {{"seeds", list(r.seeds)},
        {"neighbours", number(r.neighbours, 1, kMany)},
        {"target", number(r.target, 0, kMany)},
        {"clusters", list(r.clusters)}}},
      {"export",
       {{"format", word(r.format, {"folder", "list", "shards"})},
        {"shard_images", number(r.shard_images, 1, kMany)}}},
  };
}

[[noreturn]] void refuse(const std::string& name, const std::string& key, const auto& known) {
  std::vector<std::string> names;
  for (const auto& [k, ignored] : known) {
    if (!k.empty()) names.push_back(k);
  }
  fail(ErrorCode::invalid_argument, "{}: '{}' is no key of a recipe; there are {}", name, key,
       fmt::join(names, ", "));
}

void apply(const toml::table& table, const Section& section, const std::string& prefix,
           const std::string& name) {
  for (const auto& [key, node] : table) {
    if (prefix.empty() && node.is_table()) continue;
    const std::string full =
        prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
    const auto setter = section.find(std::string(key.str()));
    if (setter == section.end()) refuse(name, full, section);
    if (!setter->second(node)) {
      fail(ErrorCode::invalid_argument, "{}: {} has a value that makes no sense (docs/curation.md)",
           name, full);
    }
  }
}

// Is every character of the line that is neither in quotes nor in a remark ASCII?
bool is_plain(std::string_view line) {
  char quote = '\0';
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != '\0') {
      if (c == '\\' && quote == '"') ++i;
      if (c == quote) quote = '\0';
    } else if (c == '#') {
      return true;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return false;
    }
  }
  return true;
}

// toml++ 3.3 is undefined (__builtin_unreachable) for letters beyond ASCII where a space may be.
// Text of several lines is refused, so that each line stands for itself.
void check_lines(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  int number = 0;
  const auto refuse_if = [&](bool wrong, std::string_view why) {
    if (wrong) fail(ErrorCode::corrupt_data, "{}: line {}: {}", name, number, why);
  };
  for (std::string line; std::getline(lines, line);) {
    ++number;
    refuse_if(line.find("\"\"\"") != line.npos || line.find("'''") != line.npos,
              "text of several lines has no place in a recipe");
    refuse_if(!is_plain(line), "letters beyond ASCII belong into quotes");
  }
}

}  // namespace

Recipe parse_recipe(const std::string& text, const std::string& name) {
  check_lines(text, name);
  Recipe recipe;
  const auto known = sections(recipe);
  try {
    const toml::table table = toml::parse(text, name);
    apply(table, known.at(""), "", name);
    for (const auto& [key, node] : table) {
      if (!node.is_table()) continue;
      const auto section = known.find(std::string(key.str()));
      if (section == known.end() || key.empty()) refuse(name, std::string(key.str()), known);
      apply(*node.as_table(), section->second, section->first, name);
    }
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::corrupt_data, "{}: line {}: {}", name, error.source().begin.line,
         error.description());
  } catch (const std::logic_error&) {
    fail(ErrorCode::corrupt_data, "{}: is no TOML", name);
  }
  for (const int64_t n : recipe.clusters) {
    check(n >= 1, "{}: retrieve.clusters has {}; numbers from 1 on are needed", name, n);
  }
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& file) {
  return parse_recipe(read_file(file, 1 << 20), file.string());
}

std::string recipe_text(const Recipe& r) {
  const QualityLimits& q = r.quality;
  return fmt::format("{} {} {} {} | {} {} {} {} {} {} {} {} | {} {} {} | {} {} {} {} | {} {}",
                     r.seed, r.keep_animated, r.keep_wrong_extension, r.max_pixels, q.min_side,
                     q.max_aspect, q.min_sharpness, q.min_brightness, q.max_brightness,
                     q.min_contrast, q.min_entropy, q.max_solid, r.dedup, r.near, r.against,
                     r.seeds, r.neighbours, r.target, r.clusters, r.format, r.shard_images);
}

}  // namespace ocelli
