// Fields of a struct under names, as a TOML file gives them, `--set name=value` overrides them and
// a run writes them down. https://toml.io
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace ocelli {

struct Setting {
  using Target = std::variant<bool*, int64_t*, uint64_t*, float*, double*, std::string*,
                              std::vector<int64_t>*, std::vector<std::string>*>;
  std::string key;  // "section.name", or "name" outside of sections
  Target target;
  double low = 0, high = 1e9;             // of numbers
  std::vector<std::string> choices = {};  // of a word; none: any text
};

// Sets the fields that `text` names, and leaves the others. `name` stands in messages. Throws
// corrupt_data for what is no TOML; invalid_argument for a key that is not among the settings,
// with the nearest that is, and for a value that the field does not take; each with the line.
void read_settings(std::span<const Setting> settings, const std::string& text,
                   const std::string& name);

// Sets one field by "key=value", the value as in TOML; a text needs no quotes. Throws
// invalid_argument as read_settings.
void override_setting(std::span<const Setting> settings, const std::string& assignment);

// All fields as TOML; read_settings gives the same fields back. Settings of a section stand
// together, those outside of sections first.
std::string settings_text(std::span<const Setting> settings);

}  // namespace ocelli
