// Brings an index of images up to date with the files.
#pragma once

#include <istream>

#include "ocelli/data/image_list.h"
#include "ocelli/engine/embed.h"
#include "ocelli/index/image_index.h"

namespace ocelli {

// Notes the size and time of a file, so that a later change is seen by the next run. False, with
// errno, where there is no such file.
bool look(const std::string& path, ImageRecord& record);

struct IndexUpdate {
  int64_t added = 0, changed = 0, removed = 0, unchanged = 0;
  std::vector<ItemError> errors;
};

struct UpdateOptions {
  RunOptions run = {};
  bool only_add = false;  // files that vanished stay in the index
};

// What an index made with this model begins with.
IndexState state_for(const OpenModel& opened, const std::string& size);

// Throws invalid_argument, naming both, when the vectors of an index are those of another model.
void check_same_model(const IndexState& state, const OpenModel& opened);

// Files are what list_images() takes. Those that are new, or differ in size or time and in their
// bytes, are embedded; images below one of the folders whose files are gone are removed; images
// that failed are tried again. What is done is committed as it goes, at least each second.
IndexUpdate index_images(IndexWriter& writer, const OpenModel& opened,
                         std::span<const std::string> arguments, std::istream& standard_input,
                         const UpdateOptions& options);

// Gives images of the index the captions of a table; returns how many have one now. The last of
// several captions of an image stays.
int64_t set_captions(IndexWriter& writer, const CaptionedImages& captions);

// Removes images by the names of their files, or of folders above them; returns their number.
// Throws not_found for a name that no image has.
int64_t remove_images(IndexWriter& writer, std::span<const std::string> arguments);

}  // namespace ocelli
