// The command line as it describes itself: help pages, completion and man page all come from here.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace ocelli::cli {

// What an option takes; neither a name nor choices for a flag.
struct Value {
  std::string name;                  // kFile, kFolder, kModel, kNumber, kText
  std::vector<std::string> choices;  // or one of these words
  bool many = false;
};
Value value_of(const CLI::Option& option);

// "FILE...", "f32|f16|bf16"; empty for a flag.
std::string value_text(const Value& value);

// "-b", "--batch": as they are typed.
std::vector<std::string> names_of(const CLI::Option& option);

std::vector<const CLI::Option*> named_options(const CLI::App& command);
std::vector<const CLI::Option*> positionals(const CLI::App& command);
// Those that help lists.
std::vector<const CLI::App*> commands(const CLI::App& app);
// And theirs, each after its own.
std::vector<const CLI::App*> all_commands(const CLI::App& app);
// "train classify": as it is typed after the program's name.
std::string full_name(const CLI::App& command);

// Broken at spaces into lines of at most `width` characters.
std::string wrapped(const std::string& text, size_t width);

// Lines of at most 80 columns.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
};

}  // namespace ocelli::cli
