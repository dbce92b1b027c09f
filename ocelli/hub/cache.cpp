#include "ocelli/hub/cache.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"

namespace ocelli::hub {
namespace fs = std::filesystem;

namespace {

// An empty variable counts as unset.
std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

bool is_true(const char* name) {
  std::string value = variable(name).value_or("");
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

fs::path home() {
  return variable("HOME").value_or("/");
}

fs::path expand(const std::string& path) {
  if (path == "~") return home();
  return path.starts_with("~/") ? home() / path.substr(2) : fs::path(path);
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

std::string read_token(const fs::path& hf_home) {
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return "";
  std::string token;
  if (const auto given = variable("HF_TOKEN")) {
    token = trimmed(*given);
  } else {
    const auto named = variable("HF_TOKEN_PATH");
    const fs::path file = named ? expand(*named) : hf_home / "token";
    std::error_code ignored;
    if (fs::is_regular_file(file, ignored)) token = trimmed(read_file(file, 1 << 16));
  }
  check(std::ranges::all_of(token, [](char c) { return c > ' ' && c < 127; }),
        "HF_TOKEN (or the token file) holds characters that no token has");
  return token;
}

bool is_name(std::string_view name) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  return !name.empty() && name.size() <= 96 && std::ranges::all_of(name, allowed) &&
         !edge(name.front()) && !edge(name.back()) && name.find("--") == name.npos &&
         name.find("..") == name.npos;
}

}  // namespace

Settings Settings::from_environment() {
  Settings settings;
  const auto cache_home = variable("XDG_CACHE_HOME");
  const auto hf = variable("HF_HOME");
  const fs::path hf_home =
      hf ? expand(*hf) : (cache_home ? expand(*cache_home) : home() / ".cache") / "huggingface";
  settings.cache = hf_home / "hub";
  for (const char* name : {"HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"}) {
    if (const auto cache = variable(name)) settings.cache = expand(*cache);
  }
  if (const auto endpoint = variable("HF_ENDPOINT")) settings.endpoint = trimmed(*endpoint);
  settings.offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
  settings.token = read_token(hf_home);
  if (const auto timeout = variable("HF_HUB_DOWNLOAD_TIMEOUT")) {
    const double seconds = std::strtod(timeout->c_str(), nullptr);
    check(seconds > 0, "HF_HUB_DOWNLOAD_TIMEOUT is '{}', not a number of seconds", *timeout);
    settings.timeout_seconds = seconds;
  }
  return settings;
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1000) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    begin = end + 1;
  }
  return std::ranges::none_of(
      path, [](char c) { return c == '\\' || static_cast<unsigned char>(c) < ' ' || c == 127; });
}

std::optional<Id> parse_id(std::string_view text) {
  Id id;
  const size_t at = text.find('@'), slash = text.find('/');
  if (at != text.npos) {
    id.revision = text.substr(at + 1);
    if (!is_safe_path(id.revision)) return std::nullopt;
  }
  id.repo = text.substr(0, at);
  if (slash == text.npos || slash >= id.repo.size()) return std::nullopt;
  const std::string_view repo = id.repo;
  if (!is_name(repo.substr(0, slash)) || !is_name(repo.substr(slash + 1))) return std::nullopt;
  return id;
}

fs::path repo_folder(const Settings& settings, const std::string& repo) {
  const size_t slash = repo.find('/');
  return settings.cache / ("models--" + repo.substr(0, slash) + "--" + repo.substr(slash + 1));
}

std::string cached_commit(const Settings& settings, const Id& id) {
  const fs::path folder = repo_folder(settings, id.repo);
  std::error_code ignored;
  std::string commit = id.revision;
  if (fs::is_regular_file(folder / "refs" / id.revision, ignored)) {
    commit = trimmed(read_file(folder / "refs" / id.revision, 4096));
  }
  const bool here = is_safe_path(commit) && commit.find('/') == commit.npos &&
                    fs::is_directory(folder / "snapshots" / commit, ignored);
  return here ? commit : "";
}

std::optional<fs::path> find_cached(const Settings& settings, const Id& id) {
  const std::string commit = cached_commit(settings, id);
  if (commit.empty()) return std::nullopt;
  const fs::path folder = repo_folder(settings, id.repo) / "snapshots" / commit;
  if (!has_weights(folder)) return std::nullopt;
  return folder;
}

std::string choose_weights(const std::set<std::string>& files) {
  constexpr std::array kNames = {
      "model.safetensors",           "model.safetensors.index.json",
      "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
      "pytorch_model.bin",           "pytorch_model.bin.index.json",
      "open_clip_pytorch_model.bin"};
  for (const char* name : kNames) {
    if (files.contains(name)) return name;
  }
  std::string only;
  for (const std::string& file : files) {
    const std::string extension = fs::path(file).extension().string();
    const bool weights = extension == ".safetensors" || extension == ".pth" || extension == ".pt" ||
                         extension == ".bin" || extension == ".npz";
    if (!weights || file.find('/') != file.npos) continue;
    if (!only.empty()) return "";
    only = file;
  }
  return only;
}

bool has_weights(const fs::path& folder, std::string* missing) {
  std::set<std::string> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    // A link whose blob was removed does not count.
    if (entry.is_regular_file(ignored)) files.insert(entry.path().filename().string());
  }
  const std::string weights = choose_weights(files);
  if (weights.empty() && missing) *missing = "model.safetensors";
  if (!weights.ends_with(".index.json")) return !weights.empty();
  const auto index = nlohmann::json::parse(read_file(folder / weights), nullptr, false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    if (missing) *missing = "the weight_map of " + weights;
    return false;
  }
  for (const auto& shard : index["weight_map"]) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    if (files.contains(name)) continue;
    if (missing) *missing = name;
    return false;
  }
  return true;
}

}  // namespace ocelli::hub
