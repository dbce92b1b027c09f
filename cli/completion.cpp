#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/common.h"
#include "cli/help.h"

// Completion scripts, made from the commands as they are.
namespace ocelli::cli {
namespace {

std::string joined_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands(app)) names.push_back(command->get_name());
  return fmt::format("{}", fmt::join(names, " "));
}

// Commands of commands are told by two words.
std::string bash(const CLI::App& app) {
  std::vector<std::string> pairs;
  std::string options, values;
  for (const CLI::App* command : all_commands(app)) {
    const std::string name = full_name(*command);
    if (command->get_parent() != &app) pairs.push_back("'" + name + "'");
    std::vector<std::string> words;
    const auto add_values = [&](const std::string& choices, const std::string& before) {
      if (!choices.empty())
        values += fmt::format("    '{} {}') words='{}' ;;\n", name, before, choices);
    };
    const auto choices_of = [](const CLI::Option& option) {
      return fmt::format("{}", fmt::join(value_of(option).choices, " "));
    };
    for (const CLI::Option* option : named_options(*command)) {
      for (const std::string& option_name : names_of(*option)) {
        words.push_back(option_name);
        add_values(choices_of(*option), option_name);
      }
    }
    for (const CLI::Option* option : positionals(*command))
      add_values(choices_of(*option), command->get_name());
    if (!commands(*command).empty()) {
      add_values(fmt::format("{} {}", joined_names(*command), fmt::join(words, " ")),
                 command->get_name());
    }
    options += fmt::format("      '{}') words='{}' ;;\n", name, fmt::join(words, " "));
  }
  // Without words, bash completes names of files.
  return fmt::format(R"(_ocelli() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=
  local command=${{COMP_WORDS[1]}} pair="${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}"
  case $pair in
    {}) [ "$COMP_CWORD" -gt 2 ] && command=$pair ;;
  esac
  case "$command $prev" in
{}  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{} --help --version'
  elif [[ -z $words && $cur == -* ]]; then
    case $command in
{}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o bashdefault -o default -F _ocelli ocelli
)",
                     fmt::join(pairs, "|"), values, joined_names(app), options);
}

// `text` with a backslash before each of `special`.
std::string escaped(const std::string& text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != special.npos) out += '\\';
    out += c;
  }
  return out;
}

// Between single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\'";
    out += c;
  }
  return out + "'";
}

std::string zsh_value(const Value& value) {
  if (!value.choices.empty()) return fmt::format("({})", fmt::join(value.choices, " "));
  if (value.name == kFile || value.name == kModel) return "_files";
  return value.name == kFolder ? "_files -/" : "";
}

// What completes the arguments of one command, or the name of one of its own.
std::string zsh_arguments(const CLI::App& command) {
  std::string text = "_arguments -S";
  for (const CLI::Option* option : named_options(command)) {
    const Value value = value_of(*option);
    std::string spec = fmt::format("[{}]", escaped(option->get_description(), "[]:\\"));
    const std::string what = value.choices.empty() ? value.name : "word";
    if (!value_text(value).empty()) spec += fmt::format(":{}:{}", what, zsh_value(value));
    const auto names = names_of(*option);
    for (const std::string& name : names) {
      const std::string others = fmt::format("({})", fmt::join(names, " "));
      text += " \\\n  " + quoted(others + name + spec);
    }
  }
  for (const CLI::Option* option : positionals(command)) {
    const Value value = value_of(*option);
    text += " \\\n  " + quoted(fmt::format("{}:{}:{}", value.many ? "*" : "",
                                           option->get_name(true), zsh_value(value)));
  }
  if (commands(command).empty()) return text + "\n";
  std::string summaries, cases;
  for (const CLI::App* below : commands(command)) {
    summaries += " " + quoted(below->get_name() + ":" + below->get_description());
    cases += fmt::format("{})\n{};;\n", below->get_name(), zsh_arguments(*below));
  }
  return fmt::format(R"({} -C '1: :->command' '*:: :->rest'
if [[ $state == command ]]; then
  commands=({})
  _describe command commands
  return
fi
case $line[1] in
{}esac
)",
                     text, summaries, cases);
}

std::string zsh(const CLI::App& app) {
  return fmt::format(R"(#compdef ocelli
_ocelli() {{
local line state
local -a commands
{}}}
if [ "$funcstack[1]" = _ocelli ]; then _ocelli "$@"; else compdef _ocelli ocelli; fi
)",
                     zsh_arguments(app));
}

std::string fish(const CLI::App& app) {
  std::string script = R"(function __ocelli_in
  set -l words (commandline -opc)
  set -l last (math 1 + (count $argv))
  test "$words[2..$last]" = "$argv"
end
)";
  const auto add_names = [&](const CLI::App& parent, const std::string& condition) {
    script += fmt::format("complete -c ocelli -n '{}' -f\n", condition);
    for (const CLI::App* command : commands(parent)) {
      script += fmt::format("complete -c ocelli -n '{}' -a {} -d {}\n", condition,
                            command->get_name(), quoted(command->get_description()));
    }
  };
  add_names(app, "__fish_use_subcommand");
  for (const CLI::App* command : all_commands(app)) {
    std::string condition = "__ocelli_in " + full_name(*command);
    if (!commands(*command).empty()) {
      condition += "; and not __fish_seen_subcommand_from " + joined_names(*command);
      add_names(*command, condition);
    }
    const std::string start = fmt::format("complete -c ocelli -n '{}'", condition);
    for (const CLI::Option* option : named_options(*command)) {
      const Value value = value_of(*option);
      script += start;
      for (const std::string& s : option->get_snames()) script += " -s " + s;
      for (const std::string& l : option->get_lnames()) script += " -l " + l;
      if (!value.choices.empty())
        script += fmt::format(" -x -a '{}'", fmt::join(value.choices, " "));
      if (!value.name.empty()) script += " -r";
      script += fmt::format(" -d {}\n", quoted(option->get_description()));
    }
    for (const CLI::Option* option : positionals(*command)) {
      const Value value = value_of(*option);
      if (!value.choices.empty()) {
        script += fmt::format("{} -f -a '{}'\n", start, fmt::join(value.choices, " "));
      }
    }
  }
  return script;
}

}  // namespace

void add_completion(CLI::App& app) {
  auto* command =
      app.add_subcommand("completion", "Print a script that completes commands in a shell");
  auto shell = std::make_shared<std::string>();
  add_choice(*command, "shell", *shell, {"bash", "zsh", "fish"}, "The shell")->required();
  command->footer(
      "Examples:\n"
      "  source <(ocelli completion bash)\n"
      "  ocelli completion zsh > ~/.zfunc/_ocelli\n"
      "  ocelli completion fish > ~/.config/fish/completions/ocelli.fish");
  command->callback([&app, shell] {
    fmt::print("{}", *shell == "bash" ? bash(app) : *shell == "zsh" ? zsh(app) : fish(app));
  });
}

}  // namespace ocelli::cli
