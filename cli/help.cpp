#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>

namespace ocelli::cli {
namespace {

constexpr size_t kColumn = 27, kHelpWidth = 80;

}  // namespace

Value value_of(const CLI::Option& option) {
  Value value;
  if (option.get_type_size() == 0) return value;
  value.many = option.get_expected_max() > 1;
  const std::string type = option.get_type_name();
  if (const size_t open = type.find('{'); open != type.npos) {
    std::istringstream words(type.substr(open + 1, type.rfind('}') - open - 1));
    for (std::string word; std::getline(words, word, ',');) value.choices.push_back(word);
  } else {
    value.name = type;
  }
  return value;
}

std::string value_text(const Value& value) {
  const std::string text =
      value.choices.empty() ? value.name : fmt::format("{}", fmt::join(value.choices, "|"));
  return text + (value.many ? "..." : "");
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<const CLI::Option*> named_options(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

std::vector<const CLI::Option*> positionals(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::vector<const CLI::App*> commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::vector<const CLI::App*> all_commands(const CLI::App& app) {
  std::vector<const CLI::App*> all;
  for (const CLI::App* command : commands(app)) {
    all.push_back(command);
    for (const CLI::App* below : all_commands(*command)) all.push_back(below);
  }
  return all;
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  if (!parent) return "";
  const std::string before = full_name(*parent);
  return before + (before.empty() ? "" : " ") + command.get_name();
}

std::string wrapped(const std::string& text, size_t width) {
  std::istringstream words(text);
  std::string lines;
  size_t column = 0;
  for (std::string word; words >> word;) {
    if (column > 0) {
      const bool fits = column + 1 + word.size() <= width;
      lines += fits ? ' ' : '\n';
      column = fits ? column + 1 : 0;
    }
    lines += word;
    column += word.size();
  }
  return lines;
}

HelpFormatter::HelpFormatter() {
  column_width(kColumn);
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  const Value value = value_of(*option);
  if (!value.choices.empty()) return " WORD";
  const std::string text = value_text(value);
  return text.empty() ? "" : " " + text;
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  const Value value = value_of(*option);
  std::string text = option->get_description();
  if (!value.choices.empty()) text += fmt::format(": {}", fmt::join(value.choices, ", "));
  if (option->get_required()) text += " (required)";
  return wrapped(text, kHelpWidth - kColumn);
}

// The base class puts two blank lines between groups.
std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::string text = Formatter::make_help(app, std::move(name), mode);
  for (size_t at; (at = text.find("\n\n\n")) != text.npos;) text.erase(at, 1);
  return text;
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string) const {
  std::string usage = "Usage: ocelli";
  if (app->get_parent()) usage += " " + full_name(*app);
  if (!commands(*app).empty()) usage += " COMMAND";
  for (const CLI::Option* option : positionals(*app)) usage += " " + make_option_usage(option);
  return usage + " [OPTIONS]\n";
}

}  // namespace ocelli::cli
