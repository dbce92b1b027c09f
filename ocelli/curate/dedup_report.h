// A page that shows groups of duplicates; one file, nothing loaded from elsewhere.
#pragma once

#include "ocelli/curate/dedup.h"

namespace ocelli {

// Written atomically. `decode` is for the thumbnails.
void write_dedup_report(const std::string& path, const Duplicates& found,
                        const DecodeOptions& decode = {});

}  // namespace ocelli
