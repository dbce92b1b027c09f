// Parts of the pages that the program writes: one file, nothing loaded from elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "ocelli/image/decode.h"

namespace ocelli::page {

// What stands before <header> and <main>, and after the cards in <main>.
extern const std::string_view kHead, kEnd;

// Text as HTML shows it.
std::string escape(std::string_view text);

// An <img> with a thumbnail inside. Throws what decoding throws.
std::string picture(const std::string& path, const DecodeOptions& decode);

}  // namespace ocelli::page
