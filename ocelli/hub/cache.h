// The cache that huggingface_hub keeps, shared with it:
//   models--org--name/blobs/<etag>              the files, each once
//   models--org--name/snapshots/<commit>/<file> relative links into blobs
//   models--org--name/refs/<revision>           the commit a branch or tag stood for
// https://huggingface.co/docs/huggingface_hub/guides/manage-cache
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace ocelli::hub {

struct Settings {
  std::filesystem::path cache;
  std::string endpoint = "https://huggingface.co";
  std::string token;  // never shown
  bool offline = false;
  double timeout_seconds = 10;  // without a byte
  int retries = 5;
  double backoff_seconds = 0.5;  // doubles with each retry

  // cache: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else
  // XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. endpoint: HF_ENDPOINT.
  // token: HF_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token; none when
  // HF_HUB_DISABLE_IMPLICIT_TOKEN is set. offline: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE.
  // timeout_seconds: HF_HUB_DOWNLOAD_TIMEOUT.
  static Settings from_environment();
};

struct Id {
  std::string repo;  // "org/name"
  std::string revision = "main";
};

// "org/name" or "org/name@revision"; nothing for anything else.
std::optional<Id> parse_id(std::string_view text);

std::filesystem::path repo_folder(const Settings& settings, const std::string& repo);

// The snapshot folder of `id` when the cache holds it with its weights (all shards). A file that is
// not needed to open the checkpoint, such as a tokenizer, may be missing: download() fetches it.
std::optional<std::filesystem::path> find_cached(const Settings& settings, const Id& id);

// The commit that the cache has for a revision; empty when there is none.
std::string cached_commit(const Settings& settings, const Id& id);

// Of the files of a model, the weights to use: the first of model.safetensors, its index,
// open_clip_model.safetensors, open_clip_pytorch_model.safetensors, pytorch_model.bin, its index,
// open_clip_pytorch_model.bin, else the only *.safetensors, *.pth, *.pt, *.bin or *.npz. Empty when
// there are none or several.
std::string choose_weights(const std::set<std::string>& files);

// Whether the folder has weights, with all shards that an index names. The first absent file goes
// to `missing`.
bool has_weights(const std::filesystem::path& folder, std::string* missing = nullptr);

// A name of a branch, tag, commit or file that stays inside the folder it is put in.
bool is_safe_path(std::string_view path);

}  // namespace ocelli::hub
