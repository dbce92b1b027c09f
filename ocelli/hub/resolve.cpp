#include "ocelli/hub/resolve.h"

#include <cstdlib>

#include "ocelli/base/error.h"
#include "ocelli/hub/download.h"

namespace ocelli::hub {
namespace fs = std::filesystem;

fs::path default_model() {
  std::error_code ignored;
  const char* given = std::getenv("OCELLI_DEFAULT_MODEL");
  if (given && *given) {
    if (fs::exists(given, ignored)) return given;
    fail(ErrorCode::not_found, "OCELLI_DEFAULT_MODEL is {}, which is not there", given);
  }
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const fs::path& folder : {program.parent_path() / "share/ocelli",
                                 fs::path(OCELLI_DATA_FOLDER), fs::path(OCELLI_SOURCE_DIR)}) {
    if (fs::exists(folder / "models/default", ignored)) return folder / "models/default";
  }
  fail(ErrorCode::not_found,
       "the default model is not installed: run tools/fetch-default-model, set "
       "OCELLI_DEFAULT_MODEL, or name a model with -m");
}

fs::path resolve(const std::string& model, const Settings& settings, const Progress& progress) {
  std::error_code ignored;
  if (model == "default") return default_model();
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
