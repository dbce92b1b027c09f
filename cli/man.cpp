#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>

#include "cli/common.h"
#include "cli/help.h"

// The manual page, made from the commands as they are. man(7) describes the language.
namespace ocelli::cli {
namespace {

constexpr size_t kColumns = 72;  // of lines that are not shown as they are

struct Entry {
  std::string_view name, text;
};

constexpr Entry kVariables[] = {
    {"OCELLI_DEFAULT_MODEL", "The model that 'default' stands for: a folder or a file."},
    {"OCELLI_MAX_ISA", "Limits the instructions that are used: sse4, avx2 or avx512."},
    {"OMP_NUM_THREADS", "Threads to use where --threads is not given."},
    {"HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME",
     "Where models from the hub are kept: HF_HUB_CACHE, else HF_HOME/hub, else "
     "XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub."},
    {"HF_ENDPOINT", "The hub to ask."},
    {"HF_TOKEN, HF_TOKEN_PATH", "A token for gated and private models, or the file that holds it."},
    {"HF_HUB_OFFLINE", "When it is 1, nothing is downloaded."},
    {"HF_HUB_DOWNLOAD_TIMEOUT", "Seconds without a byte until a transfer counts as broken (10)."},
};

struct Status {
  ErrorCode code;
  std::string_view text;
};

constexpr Status kStatuses[] = {
    {ErrorCode::invalid_argument,
     "The arguments make no sense, or an image has more than --max-pixels."},
    {ErrorCode::corrupt_data, "A file does not hold what its format promises."},
    {ErrorCode::not_found, "A file, model or tensor is not there."},
    {ErrorCode::unsupported, "Valid, but outside of what Ocelli does."},
    {ErrorCode::internal, "A defect of Ocelli."},
    {ErrorCode::out_of_memory, "There is not enough memory."},
    {ErrorCode::io, "The disk or the network refused."},
    {ErrorCode::cancelled, "Interrupted; nothing half-written is left."},
};

// Plain text for roff: its own characters are escaped, no line begins with a command.
std::string roff(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool start = i == 0 || text[i - 1] == '\n';
    if (start && (text[i] == '.' || text[i] == '\'')) out += "\\&";
    if (text[i] == '\\')
      out += "\\e";
    else if (text[i] == '-')
      out += "\\-";
    else if (text[i] == '\'')
      out += "\\(aq";
    else
      out += text[i];
  }
  return out;
}

std::string tagged(std::string_view tag, std::string_view text) {
  return fmt::format(".TP\n{}\n{}\n", tag, roff(wrapped(std::string(text), kColumns)));
}

std::string option_text(const CLI::Option& option) {
  const Value value = value_of(option);
  std::string tag;
  for (const std::string& name : names_of(option)) {
    tag += fmt::format("{}\\fB{}\\fR", tag.empty() ? "" : ", ", roff(name));
  }
  if (tag.empty())
    tag = fmt::format("\\fI{}\\fR", roff(option.get_name(true)));
  else if (!value_text(value).empty())
    tag += fmt::format(" \\fI{}\\fR", roff(value_text(value)));
  return tagged(tag, option.get_description() + (option.get_required() ? " (required)." : "."));
}

// Of the text below the options, the examples stand as they are.
std::string footer_text(const std::string& footer) {
  const size_t at = footer.find("Example");
  std::string out;
  if (at > 0) out = ".PP\n" + roff(wrapped(footer.substr(0, at), kColumns)) + "\n";
  const size_t line = footer.find('\n', at);
  return out + fmt::format(".PP\n{}\n.PP\n.nf\n{}\n.fi\n", footer.substr(at, line - at),
                           roff(footer.substr(line + 1)));
}

std::string command_text(const CLI::App& command) {
  std::string out = fmt::format(".SS {0}\n{1}.\n.PP\n\\fBocelli {0}\\fR", full_name(command),
                                roff(command.get_description()));
  if (!commands(command).empty()) out += " \\fIcommand\\fR";
  for (const CLI::Option* option : positionals(command)) {
    const std::string name = roff(option->get_name(true) + (value_of(*option).many ? "..." : ""));
    out += option->get_required() ? fmt::format(" \\fI{}\\fR", name)
                                  : fmt::format(" [\\fI{}\\fR]", name);
  }
  out += " [\\fIoptions\\fR]\n";
  for (const CLI::Option* option : positionals(command)) out += option_text(*option);
  for (const CLI::Option* option : named_options(command)) out += option_text(*option);
  return out + footer_text(command.get_footer());
}

// Of the build when SOURCE_DATE_EPOCH says so (reproducible-builds.org), else of today.
std::time_t date() {
  const char* epoch = std::getenv("SOURCE_DATE_EPOCH");
  return epoch && *epoch ? std::strtoll(epoch, nullptr, 10) : std::time(nullptr);
}

std::string man_page(const CLI::App& app) {
  std::string out = fmt::format(
      ".TH OCELLI 1 \"{:%Y-%m-%d}\" \"ocelli {}\" \"Ocelli\"\n.SH NAME\nocelli \\- {}\n"
      ".SH SYNOPSIS\n\\fBocelli\\fR \\fIcommand\\fR [\\fIarguments\\fR] [\\fIoptions\\fR]\n"
      ".SH DESCRIPTION\n"
      "Opens folders of vision models as Hugging Face, timm and open_clip\n"
      "publish them and runs them without conversion. The shapes of what\n"
      "\\fB\\-\\-json\\fR prints are in docs/cli.md.\n"
      ".SH COMMANDS\n",
      fmt::gmtime(date()), OCELLI_VERSION, roff("one engine for large vision models"));
  for (const CLI::App* command : all_commands(app)) out += command_text(*command);
  out += ".SH EXIT STATUS\n";
  out += tagged("0", "All went well.");
  for (const Status& status : kStatuses) {
    out += tagged(std::to_string(error_info(status.code).exit_status), status.text);
  }
  out +=
      ".PP\nWhen some images fail, all others are answered, and the status is that\n"
      "of the first failure.\n.SH ENVIRONMENT\n";
  for (const Entry& entry : kVariables) {
    out += tagged(fmt::format("\\fB{}\\fR", roff(entry.name)), entry.text);
  }
  return out;
}

}  // namespace

void add_man(CLI::App& app) {
  auto* command = app.add_subcommand("man", "Print the manual page");
  command->group("");  // for the installation, so help does not list it
  command->callback([&app] { fmt::print("{}", man_page(app)); });
}

}  // namespace ocelli::cli
