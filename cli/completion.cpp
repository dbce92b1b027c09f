#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/common.h"
#include "cli/help.h"

// Completion scripts, made from the commands as they are.
namespace ocelli::cli {
namespace {

std::string bash(const CLI::App& app) {
  std::vector<std::string> names;
  std::string options, values;
  for (const CLI::App* command : commands(app)) {
    names.push_back(command->get_name());
    std::vector<std::string> words;
    const auto add_values = [&](const CLI::Option& option, const std::string& before) {
      const Value value = value_of(option);
      if (value.choices.empty()) return;
      values += fmt::format("    '{} {}') words='{}' ;;\n", command->get_name(), before,
                            fmt::join(value.choices, " "));
    };
    for (const CLI::Option* option : named_options(*command)) {
      for (const std::string& name : names_of(*option)) {
        words.push_back(name);
        add_values(*option, name);
      }
    }
    for (const CLI::Option* option : positionals(*command))
      add_values(*option, command->get_name());
    options += fmt::format("      {}) words='{}' ;;\n", command->get_name(), fmt::join(words, " "));
  }
  // Without words, bash completes names of files.
  return fmt::format(R"(_ocelli() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=
  case "${{COMP_WORDS[1]}} $prev" in
{}  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{} --help --version'
  elif [[ -z $words && $cur == -* ]]; then
    case ${{COMP_WORDS[1]}} in
{}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o bashdefault -o default -F _ocelli ocelli
)",
                     values, fmt::join(names, " "), options);
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

std::string zsh(const CLI::App& app) {
  std::string summaries, cases;
  for (const CLI::App* command : commands(app)) {
    summaries += " " + quoted(command->get_name() + ":" + command->get_description());
    cases += fmt::format("    {}) _arguments -S", command->get_name());
    for (const CLI::Option* option : named_options(*command)) {
      const Value value = value_of(*option);
      std::string spec = fmt::format("[{}]", escaped(option->get_description(), "[]:\\"));
      const std::string what = value.choices.empty() ? value.name : "word";
      if (!value_text(value).empty()) spec += fmt::format(":{}:{}", what, zsh_value(value));
      const auto names = names_of(*option);
      for (const std::string& name : names) {
        const std::string others = fmt::format("({})", fmt::join(names, " "));
        cases += " \\\n      " + quoted(others + name + spec);
      }
    }
    for (const CLI::Option* option : positionals(*command)) {
      const Value value = value_of(*option);
      cases += " \\\n      " + quoted(fmt::format("{}:{}:{}", value.many ? "*" : "",
                                                  option->get_name(true), zsh_value(value)));
    }
    cases += " ;;\n";
  }
  return fmt::format(R"(#compdef ocelli
_ocelli() {{
  local line state
  local -a commands=({})
  _arguments -C '--help[Print help]' '--version[Print the version]' '1: :->command' '*:: :->rest'
  if [[ $state == command ]]; then
    _describe command commands
    return
  fi
  case $line[1] in
{}  esac
}}
if [ "$funcstack[1]" = _ocelli ]; then _ocelli "$@"; else compdef _ocelli ocelli; fi
)",
                     summaries, cases);
}

std::string fish(const CLI::App& app) {
  std::string script = "complete -c ocelli -n __fish_use_subcommand -f\n";
  for (const CLI::App* command : commands(app)) {
    const std::string name = command->get_name();
    script += fmt::format("complete -c ocelli -n __fish_use_subcommand -a {} -d {}\n", name,
                          quoted(command->get_description()));
    const std::string start =
        fmt::format("complete -c ocelli -n '__fish_seen_subcommand_from {}'", name);
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
