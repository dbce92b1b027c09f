#include "ocelli/hub/resolve.h"

#include <cstdlib>

#include "ocelli/base/error.h"
#include "ocelli/hub/download.h"

namespace ocelli::hub {
namespace fs = std::filesystem;

namespace {

// Below ../share/ocelli beside the program's folder, the same below the prefix that was configured,
// or the source.
fs::path shipped_model(const std::string& name) {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const fs::path& folder : {program.parent_path() / "share/ocelli",
                                 fs::path(OCELLI_DATA_FOLDER), fs::path(OCELLI_SOURCE_DIR)}) {
    if (fs::exists(folder / "models" / name, ignored)) return folder / "models" / name;
  }
  fail(ErrorCode::not_found,
       "the {} model is not installed: run tools/fetch-default-model, or name a model with -m{}",
       name, name == "default" ? " or OCELLI_DEFAULT_MODEL" : "");
}

}  // namespace

fs::path resolve(const std::string& model, const Settings& settings, const Progress& progress) {
  std::error_code ignored;
  if (model == "default") {
    const char* given = std::getenv("OCELLI_DEFAULT_MODEL");
    if (!given || !*given) return shipped_model(model);
    if (fs::exists(given, ignored)) return given;
    fail(ErrorCode::not_found, "OCELLI_DEFAULT_MODEL is {}, which is not there", given);
  }
  if (model == "zero-shot") return shipped_model(model);
  if (fs::exists(model, ignored)) return model;
  const auto id = parse_id(model);
  if (!id) fail(ErrorCode::not_found, "{}: no such file or folder", model);
  if (const auto folder = find_cached(settings, *id)) return *folder;
  if (settings.offline) {
    fail(ErrorCode::not_found,
         "{}: no such folder, and not in the cache {} (HF_HUB_OFFLINE is set, so the hub was not "
         "asked)",
         model, settings.cache.string());
  }
  return download(*id, settings, progress).folder;
}

}  // namespace ocelli::hub
