// Fetches a model from the hub into the cache, resumable and verified.
// https://huggingface.co/docs/hub/api
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "ocelli/base/progress.h"
#include "ocelli/hub/cache.h"

namespace ocelli::hub {

struct Download {
  std::filesystem::path folder;  // the snapshot
  std::string commit;
  int files = 0;      // the snapshot has of those asked for
  int fetched = 0;    // of these, by this call
  int64_t bytes = 0;  // over the network
};

// Brings the snapshot of `id` up to date: configurations, tokenizer files and one set of weights
// (choose_weights), or every file with `all`. What is there already is left alone; what an earlier
// call began is resumed. Sizes and checksums are verified before a file gets its name. The revision
// points to the new commit only when all its files are there. Progress counts bytes.
//
// Throws not_found (repository, revision, or no weights in it), io (hub unreachable, access denied,
// disk full), corrupt_data (wrong checksum; the file is removed), cancelled. Two processes may
// fetch the same model at once: the second waits.
Download download(const Id& id, const Settings& settings, const Progress& progress = {},
                  bool all = false);

}  // namespace ocelli::hub
