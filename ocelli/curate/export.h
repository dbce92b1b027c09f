// The curated set as files.
#pragma once

#include <filesystem>

#include "ocelli/curate/curate.h"

namespace ocelli {

// Where an image of the set stands in the output folder, or nothing in a list: "images/...",
// "shards/000000.tar/....jpg".
std::vector<std::string> exported_names(const Curated& curated, const Recipe& recipe);

// OUTPUT/images/, images.txt or shards/ (webdataset: each image with .json, and .txt and .cls where
// a caption or a label is known). Goes on where a run was killed. Calls `progress` with images.
void export_images(const std::filesystem::path& output, const Curated& curated,
                   const Recipe& recipe, const Progress& progress);

// OUTPUT/manifest.jsonl: the fate of every file. `names` as above, empty when nothing was exported.
void write_manifest(const std::filesystem::path& output, const Curated& curated,
                    const std::vector<std::string>& names);

}  // namespace ocelli
