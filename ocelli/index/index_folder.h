// Names within the folder of an index (image_index.h).
#pragma once

#include <filesystem>

namespace ocelli::index_folder {

constexpr char kFormat[] = "format", kCatalogue[] = "catalogue.sqlite", kLock[] = "lock",
               kNearest[] = "nearest", kVectors[] = "vectors-";

std::filesystem::path vectors(const std::filesystem::path& folder, int64_t generation);

// Throws not_found for what is no index, unsupported for another version.
void check_format(const std::filesystem::path& folder);

// Writes FOLDER/format where there is none.
void make_format(const std::filesystem::path& folder);

}  // namespace ocelli::index_folder
